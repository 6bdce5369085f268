/**
 * Reversals: the exact opposite of a posting's movements, once.
 *
 * A reversal is itself a posting and may be reversed in turn. What changed a reservation takes the
 * reservation's lines back with it. Once the reservation's time is over nothing can be taken from
 * it, and what comes back to it is available at once. An expiry is never reversed.
 */

import { levelOf } from './catalogue.ts';
import { changeOf, refuseChanges } from './changes.ts';
import type { ReversalCommand } from './commands.ts';
import { type Outcome, type Refused, refuse, type ShortLine } from './outcomes.ts';
import { type Context, postingOf } from './posting.ts';
import { negate } from './quantity.ts';
import {
  hasExpired,
  heldOf,
  type OverdueHold,
  type Reservation,
  type ReservationLine,
  type ReversibleMovement,
  type ReversiblePosting,
  reservationStatus,
  type Stock,
} from './stock.ts';

export function decideReversal(stock: Stock, command: ReversalCommand, context: Context): Outcome {
  const original = stock.postings.get(command.posting);
  if (!original) return refuse({ code: 'not-found', resource: 'posting', id: command.posting });
  const irreversible = refuseIrreversible(original);
  if (irreversible) return irreversible;
  const movements = original.movements.map(oppositeOf);
  const taken = takeBack(stock, original, movements, context.now);
  if (taken && 'posted' in taken) return taken;
  const changes = movements.map(({ warehouse, product, onHandChange, reservedChange }) =>
    changeOf(levelOf(stock, warehouse, product), onHandChange, reservedChange),
  );
  const refused = refuseChanges(stock, changes);
  if (refused) return refused;
  const { type, reason } = command;
  const subject = { type, reason, reservation: original.reservation, reverses: original.id };
  const posting = postingOf(stock, context, subject, command, changes);
  if (!taken) return { posted: true, posting };
  const overdue = hasExpired(taken, context.now) ? returnedTo(taken, movements) : [];
  return { posted: true, posting, reservation: taken, overdue };
}

function refuseIrreversible(original: ReversiblePosting): Refused | undefined {
  const { id, type, reservation, reversedBy } = original;
  if (type === 'expiry') {
    return refuse({ code: 'reservation-expired', reservation: reservation as string });
  }
  if (type === 'reservation-extend') {
    const detail = 'An extension moved no stock and cannot be reversed';
    return refuse({ code: 'validation-failed', errors: [{ path: '$.posting', detail }] });
  }
  if (reversedBy === null) return undefined;
  return refuse({ code: 'already-reversed', posting: id, reversal: reversedBy });
}

function oppositeOf(movement: ReversibleMovement): ReversibleMovement {
  const { warehouse, product } = movement;
  const onHandChange = negate(movement.onHandChange);
  return { warehouse, product, onHandChange, reservedChange: negate(movement.reservedChange) };
}

/** @returns the reservation's state after the movements; undefined if the posting has none */
function takeBack(
  stock: Stock,
  original: ReversiblePosting,
  movements: readonly ReversibleMovement[],
  now: number,
): Reservation | Refused | undefined {
  if (original.reservation === null) return undefined;
  const reservation = stock.reservations.get(original.reservation);
  if (!reservation) throw new Error(`The reservation ${original.reservation} was not loaded`);
  const takesAway = movements.some(({ reservedChange }) => reservedChange < 0);
  if (takesAway && hasExpired(reservation, now)) {
    return refuse({ code: 'reservation-expired', reservation: reservation.id });
  }
  const byProduct = new Map(movements.map((movement) => [movement.product, movement]));
  const short = reservation.lines.flatMap((line) => {
    const movement = byProduct.get(line.product);
    return movement ? beyondLine(line, movement) : [];
  });
  if (short.length > 0) {
    return reservationStatus(reservation, now) === 'closed'
      ? refuse({ code: 'reservation-closed', reservation: reservation.id })
      : refuse({ code: 'insufficient-stock', lines: short });
  }
  const lines = reservation.lines.map((line) => {
    const movement = byProduct.get(line.product);
    return movement ? lineAfter(line, movement) : line;
  });
  return { ...reservation, lines };
}

/** Units that the movement takes from where the line has fewer. */
function beyondLine(
  line: ReservationLine,
  { warehouse, product, onHandChange, reservedChange }: ReversibleMovement,
): ShortLine[] {
  const left = onHandChange === 0 ? line.released : line.shipped;
  const available = reservedChange < 0 ? heldOf(line) : left;
  const requested = Math.abs(reservedChange);
  return requested > available ? [{ warehouse, product, requested, available }] : [];
}

function returnedTo(
  { id, lines }: Reservation,
  movements: readonly ReversibleMovement[],
): OverdueHold[] {
  const held = new Map(lines.map((line) => [line.product, heldOf(line)]));
  return movements
    .map(({ warehouse, product }) => {
      return { reservation: id, warehouse, product, quantity: held.get(product) ?? 0 };
    })
    .filter(({ quantity }) => quantity > 0);
}

/**
 * Units that leave `reserved` were shipped if they left `onHand` with it, else released; units that
 * come back to it come back from there. A reversed reservation thus counts as released.
 */
function lineAfter(line: ReservationLine, movement: ReversibleMovement): ReservationLine {
  const left = negate(movement.reservedChange);
  return movement.onHandChange === 0
    ? { ...line, released: line.released + left }
    : { ...line, shipped: line.shipped + left };
}
