/**
 * Reservations: units held for an order until they are shipped, released or expire.
 *
 * active → closed (all shipped or released); active → expired at the instant `expiresAt`. A closed
 * reservation comes back to life only through the reversal of what closed it.
 */

import { levelOf, refuseUnknown } from './catalogue.ts';
import { type Change, changeOf, refuseChanges } from './changes.ts';
import type {
  ReservationCommand,
  ReservationExtendCommand,
  ReservationReleaseCommand,
  ReservationShipCommand,
} from './commands.ts';
import { chosenExpiry, refuseExpiry } from './expiry.ts';
import { sumLines, type Total } from './lines.ts';
import { type Outcome, type Refused, refuse, type ShortLine } from './outcomes.ts';
import { type Context, postingOf } from './posting.ts';
import { negate } from './quantity.ts';
import { heldOf, type Reservation, reservationStatus, type Stock } from './stock.ts';

export function decideReservation(
  stock: Stock,
  command: ReservationCommand,
  context: Context,
): Outcome {
  const { warehouse, reference } = command;
  const unknown = refuseUnknown(stock, [warehouse], command.lines);
  if (unknown) return unknown;
  const expiresAt = chosenExpiry(command, context.now);
  const badExpiry = expiresAt === null ? undefined : refuseExpiry(command, expiresAt, context.now);
  if (badExpiry) return badExpiry;
  const totals = sumLines(command.lines, (line) => line.quantity);
  const changes = totals.map(({ product, amount }) =>
    changeOf(levelOf(stock, warehouse, product), 0, amount),
  );
  const refused = refuseChanges(stock, changes);
  if (refused) return refused;
  const id = context.nextId();
  const subject = { type: command.type, reservation: id };
  const posting = postingOf(stock, context, subject, command, changes);
  const lines = totals.map(({ product, amount }) => {
    return { product, quantity: amount, shipped: 0, released: 0, expired: 0 };
  });
  const postingId = posting.id;
  const reservation = { id, warehouse, reference: reference ?? null, expiresAt, postingId, lines };
  return { posted: true, posting, reservation };
}

/** Ships or releases what is held, all of it or the lines asked for. */
export function decideHeld(
  stock: Stock,
  command: ReservationShipCommand | ReservationReleaseCommand,
  context: Context,
): Outcome {
  // First, for its warehouse says which levels to load: without it no product of a line is known.
  const reservation = stock.reservations.get(command.reservation);
  if (!reservation) return notFound(command.reservation);
  const unknown = refuseUnknown(stock, [], command.lines ?? []);
  if (unknown) return unknown;
  const inactive = refuseInactive(reservation, context.now);
  if (inactive) return inactive;
  const totals = command.lines
    ? sumLines(command.lines, (line) => line.quantity)
    : allHeld(reservation);
  const short = beyondHeld(reservation, totals);
  const ships = command.type === 'reservation-ship';
  const changes = short.length > 0 ? [] : heldChanges(stock, reservation, totals, ships);
  const refused = refuseChanges(stock, changes, short);
  if (refused) return refused;
  const { type } = command;
  const subject = { type, reservation: reservation.id };
  const posting = postingOf(stock, context, subject, command, changes);
  return { posted: true, posting, reservation: settled(reservation, totals, ships) };
}

/** Moves the expiry to a later instant: a posting without movements. */
export function decideExtend(
  stock: Stock,
  command: ReservationExtendCommand,
  context: Context,
): Outcome {
  const reservation = stock.reservations.get(command.reservation);
  if (!reservation) return notFound(command.reservation);
  const inactive = refuseInactive(reservation, context.now);
  if (inactive) return inactive;
  const expiresAt = chosenExpiry(command, context.now);
  // Nothing is later than never; and as the reservation is active, its expiry is after now.
  const current = reservation.expiresAt ?? Number.POSITIVE_INFINITY;
  const badExpiry = refuseExpiry(command, expiresAt, current);
  if (badExpiry) return badExpiry;
  const subject = { type: command.type, reservation: reservation.id };
  const posting = postingOf(stock, context, subject, command, []);
  return { posted: true, posting, reservation: { ...reservation, expiresAt } };
}

function notFound(id: string): Refused {
  return refuse({ code: 'not-found', resource: 'reservation', id });
}

function refuseInactive(reservation: Reservation, now: number): Refused | undefined {
  const status = reservationStatus(reservation, now);
  if (status === 'active') return undefined;
  return refuse({ code: `reservation-${status}`, reservation: reservation.id });
}

function allHeld(reservation: Reservation): Total[] {
  return reservation.lines
    .filter((line) => heldOf(line) > 0)
    .map((line) => ({ product: line.product, amount: heldOf(line), unitCost: null }));
}

function beyondHeld(reservation: Reservation, totals: readonly Total[]): ShortLine[] {
  const { warehouse } = reservation;
  const held = new Map(reservation.lines.map((line) => [line.product, heldOf(line)]));
  return totals
    .map(({ product, amount }) => {
      return { warehouse, product, requested: amount, available: held.get(product) ?? 0 };
    })
    .filter(({ requested, available }) => requested > available);
}

function heldChanges(
  stock: Stock,
  reservation: Reservation,
  totals: readonly Total[],
  ships: boolean,
): Change[] {
  return totals.map(({ product, amount }) => {
    const level = levelOf(stock, reservation.warehouse, product);
    return changeOf(level, ships ? negate(amount) : 0, negate(amount));
  });
}

function settled(reservation: Reservation, totals: readonly Total[], ships: boolean): Reservation {
  const amounts = new Map(totals.map(({ product, amount }) => [product, amount]));
  const lines = reservation.lines.map((line) => {
    const amount = amounts.get(line.product);
    if (amount === undefined) return line;
    return ships
      ? { ...line, shipped: line.shipped + amount }
      : { ...line, released: line.released + amount };
  });
  return { ...reservation, lines };
}
