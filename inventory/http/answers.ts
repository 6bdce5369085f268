import type { Answer } from '@onhand/idempotency';
import { catalogue, type ErrorCode, problemOf } from '../errors.ts';
import { rfc3339 } from '../postgres/rfc3339.ts';
import type { Command } from '../stock/commands.ts';
import type { Movement, Outcome, Posted, Posting, Refusal } from '../stock/outcomes.ts';
import { type Reservation, reservationStatus } from '../stock/stock.ts';

export const jsonType = 'application/json; charset=utf-8';
export const problemType = 'application/problem+json';

/** A posting as the API shows it; what was not given is left out. */
export function postingJson(posting: Posting): Record<string, unknown> {
  const json: Record<string, unknown> = {
    id: posting.id,
    type: posting.type,
    reference: posting.reference,
    recordedAt: rfc3339(posting.recordedAt),
    movements: posting.movements.map(movementJson),
  };
  if (posting.note !== null) json.note = posting.note;
  if (posting.occurredAt !== null) json.occurredAt = posting.occurredAt;
  if (posting.metadata !== null) json.metadata = posting.metadata;
  if (posting.reason !== null) json.reason = posting.reason;
  if (posting.reservation !== null) json.reservation = posting.reservation;
  if (posting.reverses !== null) json.reverses = posting.reverses;
  return json;
}

export function movementJson(movement: Omit<Movement, 'hash'>): Record<string, unknown> {
  const { warehouse, product, sequence, onHandChange, reservedChange, onHand, reserved, unitCost } =
    movement;
  const json = {
    warehouse,
    product,
    sequence,
    onHandChange,
    reservedChange,
    onHand,
    reserved,
    available: onHand - reserved,
  };
  return unitCost === null ? json : { ...json, unitCost };
}

/** @param now milliseconds since the epoch, by the database's clock: it says whether it expired */
export function reservationJson(
  reservation: Reservation,
  posting: Record<string, unknown>,
  now: number,
): Record<string, unknown> {
  return {
    id: reservation.id,
    status: reservationStatus(reservation, now),
    warehouse: reservation.warehouse,
    reference: reservation.reference,
    expiresAt: rfc3339(reservation.expiresAt),
    lines: reservation.lines.map(({ product, quantity, shipped, released }) => ({
      product,
      quantity,
      shipped,
      released,
    })),
    posting,
  };
}

/** The answer that is recorded for an outcome and sent to everyone who repeats its request. */
export function renderOutcome(outcome: Outcome, command: Command, now: number): Answer {
  if (!outcome.posted) return problemAnswer(...refusalProblem(outcome.refusal));
  const { location, body } = postedAnswer(outcome, command, now);
  return {
    status: 201,
    headers: { location, 'content-type': jsonType },
    body: Buffer.from(JSON.stringify(body)),
  };
}

function postedAnswer(
  { posting, reservation }: Posted,
  command: Command,
  now: number,
): { location: string; body: Record<string, unknown> } {
  const body = postingJson(posting);
  const isReservation = command.type.startsWith('reservation');
  if (!isReservation || reservation === undefined) {
    return { location: `/v1/postings/${posting.id}`, body };
  }
  return {
    location: `/v1/reservations/${reservation.id}`,
    body: reservationJson(reservation, body, now),
  };
}

export function problemAnswer(
  code: ErrorCode,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): Answer {
  return {
    status: catalogue[code].status,
    headers: { 'content-type': problemType },
    body: Buffer.from(JSON.stringify(problemOf(code, detail, members))),
  };
}

/** The words for a refusal. Members beside `code` are part of the API. */
function refusalProblem(
  refusal: Refusal,
): [code: ErrorCode, detail: string, members: Record<string, unknown>] {
  const { code, ...members } = refusal;
  switch (refusal.code) {
    case 'unknown-warehouse':
      return [code, `Warehouse ${refusal.warehouse} is not registered.`, members];
    case 'unknown-product':
      return [code, `Not registered: ${someOf(refusal.products)}.`, members];
    case 'not-found':
      return [code, `There is no ${refusal.resource} ${refusal.id}.`, members];
    case 'insufficient-stock': {
      const short = refusal.lines.map(
        ({ warehouse, product, requested, available }) =>
          `${product} in ${warehouse}: ${requested} requested, ${available} available`,
      );
      return [code, `${someOf(short, '; ')}.`, members];
    }
    case 'stock-changed': {
      const [level] = refusal.levels;
      const detail = `${level?.product} in ${level?.warehouse} has ${level?.onHand} on hand at sequence ${level?.sequence}.`;
      return [code, detail, { level, levels: refusal.levels }];
    }
    case 'reservation-closed':
      return [code, `Reservation ${refusal.reservation} is closed.`, members];
    case 'reservation-expired':
      return [code, `Reservation ${refusal.reservation} has expired.`, members];
    case 'already-reversed':
      return [code, `Posting ${refusal.posting} was reversed by ${refusal.reversal}.`, members];
    case 'quantity-overflow':
      return [code, `${refusal.product} in ${refusal.warehouse} would overflow.`, members];
    case 'validation-failed': {
      const errors = refusal.errors.map(({ path, detail }) => ({
        path,
        pointer: path.slice(1).replaceAll('.', '/'),
        detail,
      }));
      return [code, `${errors[0]?.path} ${errors[0]?.detail}.`, { errors }];
    }
  }
}

/** The first few of a list for a sentence; the members carry them all. */
function someOf(texts: readonly string[], separator = ', '): string {
  const shown = texts.slice(0, 5).join(separator);
  return texts.length > 5 ? `${shown}${separator}and ${texts.length - 5} more` : shown;
}
