import { levelOf } from './catalogue.ts';
import type { Outcome, Posting } from './outcomes.ts';
import type { Stock } from './stock.ts';

/**
 * Makes the effects of an outcome visible to the commands after it: levels, the reservation, the
 * posting as one that can be reversed, and in `stock.overdue` what `expire` is to give back before
 * the next command. A refusal changes nothing.
 */
export function apply(stock: Stock, outcome: Outcome): void {
  if (!outcome.posted) return;
  const { posting, reservation, overdue = [] } = outcome;
  moveLevels(stock, posting);
  if (reservation) stock.reservations.set(reservation.id, reservation);
  stock.overdue.push(...overdue);
  const { id, type, movements } = posting;
  stock.postings.set(id, {
    id,
    type,
    reservation: posting.reservation,
    reversedBy: null,
    movements,
  });
  const reversed = posting.reverses === null ? undefined : stock.postings.get(posting.reverses);
  if (reversed) reversed.reversedBy = id;
}

function moveLevels(stock: Stock, posting: Posting): void {
  for (const movement of posting.movements) {
    const level = levelOf(stock, movement.warehouse, movement.product);
    if (posting.type === 'expiry') level.sequenceShown ??= level.sequence;
    else if (level.sequenceShown !== undefined) level.sequenceShown = undefined;
    level.onHand = movement.onHand;
    level.reserved = movement.reserved;
    level.sequence = movement.sequence;
    level.hash = movement.hash;
    level.recordedAt = posting.recordedAt;
  }
}
