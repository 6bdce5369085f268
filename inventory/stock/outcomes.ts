/** What becomes of a command: it took effect (`Posted`) or changed nothing (`Refused`). */

import type { Command } from './commands.ts';
import type { OverdueHold, Reservation } from './stock.ts';

/** `expiry` has no command: it gives back what an expired reservation still held. */
export type PostingType = Command['type'] | 'expiry';

/** One immutable change of one level, with what it left there. */
export interface Movement {
  warehouse: string;
  product: string;
  /** 1, 2, 3 … per level, without a gap. */
  sequence: number;
  onHandChange: number;
  reservedChange: number;
  onHand: number;
  reserved: number;
  unitCost: string | null;
  /** `movementHash` over this movement and the one before it on the level. */
  hash: string;
}

/** One command that took effect, with all its movements or none. */
export interface Posting {
  id: string;
  type: PostingType;
  reference: string | null;
  note: string | null;
  occurredAt: string | null;
  metadata: Record<string, string> | null;
  reason: string | null;
  /** The reservation it made or changed. */
  reservation: string | null;
  /** The posting it reverses. */
  reverses: string | null;
  /** Milliseconds since the epoch. */
  recordedAt: number;
  movements: Movement[];
}

export interface Posted {
  posted: true;
  posting: Posting;
  /** The reservation's new state, where the posting made or changed one that is loaded. */
  reservation?: Reservation;
  /** Units that it brought back to a reservation whose time is over: to be given back at once. */
  overdue?: OverdueHold[];
}

/** What was asked of one level and what could be taken from it. */
export interface ShortLine {
  warehouse: string;
  product: string;
  requested: number;
  available: number;
}

/** A level as it stands, for the caller whose expectation failed. */
export interface CurrentLevel {
  warehouse: string;
  product: string;
  onHand: number;
  reserved: number;
  available: number;
  sequence: number;
}

export interface FieldError {
  /** JSON path in the command, such as `$.expiresAt`. */
  path: string;
  detail: string;
}

export type Refusal =
  | { code: 'unknown-warehouse'; warehouse: string }
  | { code: 'unknown-product'; products: string[] }
  | { code: 'not-found'; resource: 'reservation' | 'posting'; id: string }
  | { code: 'insufficient-stock'; lines: ShortLine[] }
  | { code: 'stock-changed'; levels: CurrentLevel[] }
  | { code: 'reservation-closed' | 'reservation-expired'; reservation: string }
  | { code: 'already-reversed'; posting: string; reversal: string }
  | { code: 'quantity-overflow'; warehouse: string; product: string }
  | { code: 'validation-failed'; errors: FieldError[] };

export interface Refused {
  posted: false;
  refusal: Refusal;
}

export type Outcome = Posted | Refused;

export function refuse(refusal: Refusal): Refused {
  return { posted: false, refusal };
}
