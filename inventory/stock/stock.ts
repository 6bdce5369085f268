/**
 * The working state of one batch: what was loaded and locked, evolved command by command.
 *
 * `decide` and `expire` only read it; `apply` alone changes it. Levels change in place; a
 * reservation is replaced by its new state, so a reference taken from an outcome stays as it was.
 */

import type { PostingType } from './outcomes.ts';

/** Stock of one product in one warehouse. `available` is `onHand − reserved`. */
export interface Level {
  warehouse: string;
  product: string;
  onHand: number;
  reserved: number;
  /** Number of movements so far; the last movement's sequence. */
  sequence: number;
  /** Hash of the last movement, 64 hex digits; zeros at sequence 0. */
  hash: string;
  /** Milliseconds since the epoch of the last movement; 0 if there is none. */
  recordedAt: number;
  /**
   * The sequence that reads show, while nothing but expiries has moved the level in this batch:
   * reads subtract what has expired, without a movement.
   */
  sequenceShown?: number | undefined;
}

/** Units of one product; held = quantity − shipped − released − expired. */
export interface ReservationLine {
  product: string;
  quantity: number;
  shipped: number;
  released: number;
  expired: number;
}

export interface Reservation {
  id: string;
  warehouse: string;
  reference: string | null;
  /** Milliseconds since the epoch; null: never expires. */
  expiresAt: number | null;
  /** The posting that made the reservation. */
  postingId: string;
  /** One line per product. */
  lines: ReservationLine[];
}

/** A movement as far as its reversal needs it. */
export interface ReversibleMovement {
  warehouse: string;
  product: string;
  onHandChange: number;
  reservedChange: number;
}

/** A posting that a command of the batch wants to reverse, or that the batch has made. */
export interface ReversiblePosting {
  id: string;
  type: PostingType;
  reservation: string | null;
  reversedBy: string | null;
  movements: readonly ReversibleMovement[];
}

/**
 * Held units of a reservation whose `expiresAt` has passed, on a level that the batch has locked.
 */
export interface OverdueHold {
  reservation: string;
  warehouse: string;
  product: string;
  quantity: number;
}

export interface Stock {
  tenant: string;
  warehouses: Set<string>;
  products: Map<string, { allowBackorder: boolean }>;
  /** By `levelKey`. Every known pair of the batch is here, with zeros if it was never moved. */
  levels: Map<string, Level>;
  reservations: Map<string, Reservation>;
  postings: Map<string, ReversiblePosting>;
  overdue: OverdueHold[];
}

/** A warehouse and a product: what a level is of. */
export interface Pair {
  readonly warehouse: string;
  readonly product: string;
}

/** `|` is in no code, so two pairs never share a key. */
export function levelKey(warehouse: string, product: string): string {
  return `${warehouse}|${product}`;
}

export function heldOf(line: ReservationLine): number {
  return line.quantity - line.shipped - line.released - line.expired;
}

export type ReservationStatus = 'active' | 'closed' | 'expired';

/** @param now milliseconds since the epoch, from the database's clock */
export function hasExpired(reservation: Reservation, now: number): boolean {
  const { expiresAt, lines } = reservation;
  return (expiresAt !== null && now >= expiresAt) || lines.some((line) => line.expired > 0);
}

/**
 * @param now milliseconds since the epoch, from the database's clock
 * @returns `closed` once nothing is held and none of it was lost to expiry; else `expired` from the
 *   instant `now ≥ expiresAt`, whether or not the units were given back yet
 */
export function reservationStatus(reservation: Reservation, now: number): ReservationStatus {
  const open = reservation.lines.some((line) => heldOf(line) > 0 || line.expired > 0);
  if (!open) return 'closed';
  return hasExpired(reservation, now) ? 'expired' : 'active';
}
