import type { Order } from './orders.ts';
import { productCodeOf } from './productCode.ts';

export interface CommandLine {
  readonly product: string;
  /** Change of what is on hand, in units; never 0. */
  readonly change: number;
}

/** One request that posts an invoice. */
export interface Command {
  readonly path: '/v1/shipments' | '/v1/receipts' | '/v1/adjustments';
  /** The same in every run of this file under this name, so a repeated run posts nothing twice. */
  readonly key: string;
  readonly body: string;
  readonly lines: readonly CommandLine[];
}

/** What the run's postings are called and where they go. */
export interface Run {
  /** In every key and in the warehouse: two names never share a posting. */
  readonly name: string;
  readonly warehouse: string;
}

/**
 * The request that posts an invoice: a cancellation (`C` first) is a receipt, another invoice with
 * positive units a shipment, one with negative units an adjustment downwards (the write-offs and
 * stock-taking losses that such a history has). The key names the line as well, since a file may
 * repeat an invoice.
 * @returns undefined for an invoice of no units, which moves nothing
 */
export function commandOf(order: Order, run: Run): Command | undefined {
  if (order.units === 0) return undefined;
  const isReceipt = order.invoice.startsWith('C');
  const path = pathOf(isReceipt, order.units);
  const lines = movingLines(order, isReceipt ? 1 : -1);
  const body = JSON.stringify({
    warehouse: run.warehouse,
    reference: order.invoice,
    occurredAt: order.invoicedAt,
    ...(path === '/v1/adjustments' ? { reason: 'write-off' } : {}),
    lines: lines.map(({ product, change }) =>
      path === '/v1/adjustments' ? { product, change } : { product, quantity: Math.abs(change) },
    ),
  });
  const key = `replay/${run.name}/${order.line}/${productCodeOf(order.invoice)}`;
  return { path, key, body, lines };
}

function pathOf(isReceipt: boolean, units: number): Command['path'] {
  if (isReceipt) return '/v1/receipts';
  return units > 0 ? '/v1/shipments' : '/v1/adjustments';
}

function movingLines({ units, stockCodes }: Order, sign: 1 | -1): CommandLine[] {
  const split = splitUnits(Math.abs(units), stockCodes.length);
  return stockCodes
    .map((code, index) => ({ product: productCodeOf(code), change: sign * (split[index] ?? 0) }))
    .filter(({ change }) => change !== 0);
}

/**
 * Splits an invoice's units over its lines, as evenly as whole units allow; the first lines take
 * what remains. 11 over 4 is 3, 3, 3, 2. With fewer units than lines, the last lines get none.
 * @param units 1 or more
 */
export function splitUnits(units: number, lines: number): number[] {
  const each = Math.floor(units / lines);
  const more = units % lines;
  return Array.from({ length: lines }, (_, index) => (index < more ? each + 1 : each));
}
