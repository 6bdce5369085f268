import { deleteLapsedRecords } from '../postgres/deleteLapsedRecords.ts';
import { expireLines } from '../postgres/expireLines.ts';
import { insertMovements } from '../postgres/insertMovements.ts';
import { insertPostings } from '../postgres/insertPostings.ts';
import { insertRecords } from '../postgres/insertRecords.ts';
import { rfc3339 } from '../postgres/rfc3339.ts';
import type { Transaction } from '../postgres/transaction.ts';
import { updateLevels } from '../postgres/updateLevels.ts';
import { upsertReservations } from '../postgres/upsertReservations.ts';
import type { Effects } from './effects.ts';

export interface WriteTimes {
  /** Milliseconds since the epoch. */
  readonly recordedAt: number;
  readonly now: number;
  /** How long an answer is kept. */
  readonly retentionMs: number;
}

/**
 * Issues the writes of a batch; they share one round trip with the COMMIT that the caller issues
 * behind them. Records go last: the one place where two batches can wait for each other is then
 * behind all row locks, and in sorted order.
 */
export function writeEffects(
  transaction: Transaction,
  tenant: string,
  effects: Effects,
  lapsedKeys: readonly string[],
  { recordedAt, now, retentionMs }: WriteTimes,
): Promise<unknown>[] {
  const { postings, expiries, levels, reservations, records } = effects;
  const at = rfc3339(recordedAt);
  const writes: Promise<unknown>[] = [];
  if (postings.length > 0) {
    writes.push(insertPostings(transaction, tenant, at, postings));
    writes.push(insertMovements(transaction, tenant, at, postings));
  }
  if (levels.length > 0) writes.push(updateLevels(transaction, tenant, at, levels));
  if (reservations.length > 0) {
    writes.push(upsertReservations(transaction, tenant, at, reservations));
  }
  if (expiries.length > 0) writes.push(expireLines(transaction, tenant, expiries));
  if (lapsedKeys.length > 0) writes.push(deleteLapsedRecords(transaction, tenant, lapsedKeys));
  if (records.length > 0) {
    const expiresAt = rfc3339(now + retentionMs);
    writes.push(insertRecords(transaction, tenant, rfc3339(now), expiresAt, records));
  }
  return writes;
}
