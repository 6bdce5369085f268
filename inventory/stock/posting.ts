/** Turns changes that may happen into a posting with its chained movements. */

import { movementHash } from './chain.ts';
import type { Change } from './changes.ts';
import type { CommandDetails } from './commands.ts';
import type { Movement, Posting, PostingType } from './outcomes.ts';
import type { Level, Stock } from './stock.ts';

export interface Context {
  /** Milliseconds since the epoch from the database's clock; decides expiry. */
  now: number;
  /** Milliseconds since the epoch, stamped on postings; not before any loaded level's. */
  recordedAt: number;
  /** A fresh UUIDv7 at each call. */
  nextId: () => string;
}

/** The last movement of each level that postings not yet applied have already moved. */
export type Moved = Map<Level, Movement>;

export interface Subject {
  type: PostingType;
  reason?: string;
  reservation?: string | null;
  reverses?: string;
}

/** @throws Error if a level's `reserved` would fall below zero, which only a corrupt load can do */
export function postingOf(
  stock: Stock,
  context: Context,
  subject: Subject,
  details: CommandDetails,
  changes: readonly Change[],
  moved: Moved | undefined = changes.length > 1 ? new Map() : undefined,
): Posting {
  const id = context.nextId();
  const { recordedAt } = context;
  return {
    id,
    type: subject.type,
    reference: details.reference ?? null,
    note: details.note ?? null,
    occurredAt: details.occurredAt ?? null,
    metadata: details.metadata ?? null,
    reason: subject.reason ?? null,
    reservation: subject.reservation ?? null,
    reverses: subject.reverses ?? null,
    recordedAt,
    movements: changes.map((change) => {
      const movement = movementOf(stock.tenant, id, recordedAt, change, moved?.get(change.level));
      moved?.set(change.level, movement);
      return movement;
    }),
  };
}

function movementOf(
  tenant: string,
  postingId: string,
  recordedAt: number,
  change: Change,
  last: Movement | undefined,
): Movement {
  const { level, onHandChange, reservedChange, unitCost } = change;
  const before = last ?? level;
  const movement: Movement = {
    warehouse: level.warehouse,
    product: level.product,
    sequence: before.sequence + 1,
    onHandChange,
    reservedChange,
    onHand: before.onHand + onHandChange,
    reserved: before.reserved + reservedChange,
    unitCost,
    hash: '',
  };
  if (movement.reserved < 0) {
    const { warehouse, product } = level;
    throw new Error(`${product} in ${warehouse} has fewer units reserved than are held of it`);
  }
  movement.hash = movementHash(before.hash, tenant, postingId, recordedAt, movement);
  return movement;
}
