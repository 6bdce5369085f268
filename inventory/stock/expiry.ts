/** When a reservation ends by itself, and giving back what it then still holds. */

import { levelOf } from './catalogue.ts';
import { changeOf } from './changes.ts';
import type { Expiry } from './commands.ts';
import { type Posted, type Refused, refuse } from './outcomes.ts';
import { type Context, type Moved, postingOf } from './posting.ts';
import { negate } from './quantity.ts';
import type { OverdueHold, Reservation, Stock } from './stock.ts';

/** 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write. */
const expiresAtMax = 253_402_300_799_999;

const msPerSecond = 1000;

/** @returns milliseconds since the epoch, or null if the command names no expiry */
export function chosenExpiry(command: Expiry, now: number): number | null {
  if (command.expiresAt !== undefined) return command.expiresAt;
  if (command.ttlSeconds !== undefined) return now + command.ttlSeconds * msPerSecond;
  return null;
}

/** @param after the chosen expiry must be later than this; milliseconds since the epoch */
export function refuseExpiry(
  command: Expiry,
  expiresAt: number | null,
  after: number,
): Refused | undefined {
  if (expiresAt !== null && expiresAt > after && expiresAt <= expiresAtMax) return undefined;
  const path =
    command.expiresAt === undefined && command.ttlSeconds !== undefined
      ? '$.ttlSeconds'
      : '$.expiresAt';
  return refuse({ code: 'validation-failed', errors: [{ path, detail: expiryDetail(after) }] });
}

function expiryDetail(after: number): string {
  if (after === Number.POSITIVE_INFINITY) return 'The reservation never expires';
  return `The expiry must be after ${new Date(after).toISOString()} and before the year 10000`;
}

/**
 * Gives back the overdue holds, before each command of a batch is decided.
 *
 * Takes the holds out of `stock.overdue`, so that none is given back twice; levels and reservations
 * change only as the caller applies the postings, in the order given.
 * @returns one posting of type `expiry` per reservation
 */
export function expire(stock: Stock, context: Context): Posted[] {
  if (stock.overdue.length === 0) return [];
  const byReservation = Map.groupBy(stock.overdue.splice(0), (hold) => hold.reservation);
  const moved: Moved = new Map();
  return Array.from(byReservation, ([id, holds]) => {
    const changes = holds.map(({ warehouse, product, quantity }) =>
      changeOf(levelOf(stock, warehouse, product), 0, negate(quantity)),
    );
    const subject = { type: 'expiry', reservation: id } as const;
    const posting = postingOf(stock, context, subject, {}, changes, moved);
    const reservation = stock.reservations.get(id);
    if (!reservation) return { posted: true, posting };
    return { posted: true, posting, reservation: withoutHolds(reservation, holds) };
  });
}

function withoutHolds(reservation: Reservation, holds: readonly OverdueHold[]): Reservation {
  const quantities = new Map(holds.map(({ product, quantity }) => [product, quantity]));
  const lines = reservation.lines.map((line) => {
    const quantity = quantities.get(line.product);
    return quantity === undefined ? line : { ...line, expired: line.expired + quantity };
  });
  return { ...reservation, lines };
}
