/** Receipts, shipments, transfers and adjustments: commands that move stock on hand. */

import { levelOf, refuseUnknown } from './catalogue.ts';
import { type Change, changeOf, refuseChanges } from './changes.ts';
import type {
  AdjustmentCommand,
  ReceiptCommand,
  ShipmentCommand,
  TransferCommand,
} from './commands.ts';
import { sumLines } from './lines.ts';
import { type Outcome, refuse } from './outcomes.ts';
import { type Context, postingOf } from './posting.ts';
import { negate } from './quantity.ts';
import type { Stock } from './stock.ts';

export function decideMovement(
  stock: Stock,
  command: ReceiptCommand | ShipmentCommand | AdjustmentCommand,
  context: Context,
): Outcome {
  const unknown = refuseUnknown(stock, [command.warehouse], command.lines);
  if (unknown) return unknown;
  const totals =
    command.type === 'adjustment'
      ? sumLines(command.lines, (line) => line.change)
      : sumLines(command.lines, (line) => line.quantity);
  const changes = totals.map(({ product, amount, unitCost }) => {
    const onHandChange = command.type === 'shipment' ? negate(amount) : amount;
    return changeOf(levelOf(stock, command.warehouse, product), onHandChange, 0, unitCost);
  });
  const refused = refuseChanges(stock, changes);
  if (refused) return refused;
  return { posted: true, posting: postingOf(stock, context, command, command, changes) };
}

/** Out of `from`, then into `to`, product by product. */
export function decideTransfer(stock: Stock, command: TransferCommand, context: Context): Outcome {
  const { from, to } = command;
  const unknown = refuseUnknown(stock, [from, to], command.lines);
  if (unknown) return unknown;
  // HTTP refuses this earlier, before the key is claimed; this is for other callers.
  if (from === to) {
    const detail = 'A transfer needs two different warehouses';
    return refuse({ code: 'validation-failed', errors: [{ path: '$.to', detail }] });
  }
  const changes: Change[] = [];
  for (const { product, amount } of sumLines(command.lines, (line) => line.quantity)) {
    changes.push(changeOf(levelOf(stock, from, product), negate(amount), 0));
    changes.push(changeOf(levelOf(stock, to, product), amount, 0));
  }
  const refused = refuseChanges(stock, changes);
  if (refused) return refused;
  return { posted: true, posting: postingOf(stock, context, command, command, changes) };
}
