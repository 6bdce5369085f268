/**
 * The rules of the stock: what a command does to the levels, reservations and postings of a batch.
 *
 * Checks come in one order, and the first that fails is the answer: unknown warehouse or
 * reservation, unknown product, the state of what the command names (closed, expired, changed), too
 * little stock, too large a quantity. Nothing is clamped: a command happens as asked or not at all.
 */

import type { Command } from './commands.ts';
import { decideCount } from './count.ts';
import { decideMovement, decideTransfer } from './movements.ts';
import type { Outcome } from './outcomes.ts';
import type { Context } from './posting.ts';
import { decideExtend, decideHeld, decideReservation } from './reservation.ts';
import { decideReversal } from './reversal.ts';
import type { Stock } from './stock.ts';

export { apply } from './apply.ts';
export { expire } from './expiry.ts';
export type { Context } from './posting.ts';

/**
 * Decides one command. Reads only: no I/O, no clock, no randomness beyond `context.nextId`, which
 * is called only for a command that is posted.
 *
 * @param stock every level, product, reservation and posting that the command names, if it exists
 * @throws Error if the loader left out something that must exist; no outcome of any command
 */
export function decide(stock: Stock, command: Command, context: Context): Outcome {
  switch (command.type) {
    case 'receipt':
    case 'shipment':
    case 'adjustment':
      return decideMovement(stock, command, context);
    case 'transfer':
      return decideTransfer(stock, command, context);
    case 'count':
      return decideCount(stock, command, context);
    case 'reservation':
      return decideReservation(stock, command, context);
    case 'reservation-ship':
    case 'reservation-release':
      return decideHeld(stock, command, context);
    case 'reservation-extend':
      return decideExtend(stock, command, context);
    case 'reversal':
      return decideReversal(stock, command, context);
  }
}
