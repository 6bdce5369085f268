import { type BatchWrite, writeBatch } from '../postgres/batchWrite.ts';
import { deleteLapsedRecords } from '../postgres/deleteLapsedRecords.ts';
import { expireLines } from '../postgres/expireLines.ts';
import { insertRecords } from '../postgres/insertRecords.ts';
import { run } from '../postgres/operation.ts';
import { rfc3339 } from '../postgres/rfc3339.ts';
import type { Transaction } from '../postgres/transaction.ts';
import { upsertReservations } from '../postgres/upsertReservations.ts';
import type { Effects } from './effects.ts';

export interface WriteTimes {
  /** Milliseconds since the epoch. */
  readonly recordedAt: number;
  readonly now: number;
  /** When the records may be forgotten. */
  readonly expiresAt: number;
}

/**
 * Issues the writes of a batch; they share one round trip with the COMMIT that the caller issues
 * behind them. Records go last, into the place that lapsed ones have left.
 */
export function writeEffects(
  transaction: Transaction,
  tenant: string,
  effects: Effects,
  lapsedKeys: readonly string[],
  { recordedAt, now, expiresAt }: WriteTimes,
): Promise<unknown>[] {
  const { postings, expiries, levels, reservations, records } = effects;
  const write: BatchWrite = {
    tenant,
    recordedAt: rfc3339(recordedAt),
    decidedAt: rfc3339(now),
    expiresAt: rfc3339(expiresAt),
    postings,
    levels,
    records,
  };
  const writes: Promise<unknown>[] = [];
  if (reservations.length > 0) {
    writes.push(upsertReservations(transaction, tenant, write.recordedAt, reservations));
  }
  if (expiries.length > 0) writes.push(expireLines(transaction, tenant, expiries));
  if (lapsedKeys.length > 0) writes.push(deleteLapsedRecords(transaction, tenant, lapsedKeys));
  if (postings.length > 0) writes.push(run(transaction, writeBatch, write));
  else writes.push(run(transaction, insertRecords, write));
  return writes;
}
