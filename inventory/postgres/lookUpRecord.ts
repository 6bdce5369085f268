import { setTimeout as delay } from 'node:timers/promises';
import type { IdempotencyRecord } from '@onhand/idempotency';
import type pg from 'pg';
import { sqlState } from './failures.ts';
import type { ConfirmedRecords } from './standbys.ts';

/** A writer of the key is not waited for: only its lock tells of it. The least is 1. */
const writerWaitMs = 1;

const lockNotAvailable = '55P03';

/** Pauses before a key whose record cannot be tried is tried again: another look-up may try it. */
const triesMs = [5, 20, 100];

/** How long batches that are under way are waited for; they take some 10 ms. */
const batchesWaitMs = 1_000;
const batchesPollMs = 10;

/**
 * What became of a key, for who must know whether its request had an effect: also `pending`, where
 * a transaction that has not ended has written its record, or may. One may be open for long after
 * its caller was told that the outcome is unknown: its COMMIT may wait for a standby or a lock, or
 * its connection be lost. A command that waits at another instance, in its queue or between two
 * attempts, is not seen.
 */
export async function lookUpRecord(
  pool: pg.Pool,
  records: ConfirmedRecords,
  tenant: string,
  key: string,
): Promise<IdempotencyRecord | 'pending' | undefined> {
  const found = await records.find(tenant, key);
  if (found !== undefined) return found;
  let state = await tryKey(pool, tenant, key);
  for (const waitMs of triesMs) {
    if (state !== 'pending') break;
    await delay(waitMs);
    state = await tryKey(pool, tenant, key);
  }
  if (state === 'pending') return 'pending';
  if (state === 'recorded') {
    const committed = await records.find(tenant, key);
    if (committed !== undefined) return committed;
    // It has outlived its retention, and the key may be used anew.
  }
  // A batch writes its records last, so one that holds or awaits its rows by now may have the key.
  if (!(await endOfBatches(pool))) return 'pending';
  return records.find(tenant, key);
}

/** @returns whether the batches that are under way now have ended in time */
async function endOfBatches(pool: pg.Pool): Promise<boolean> {
  const until = performance.now() + batchesWaitMs;
  let left = await batchesUnderWay(pool);
  while (left.length > 0 && performance.now() < until) {
    await delay(batchesPollMs);
    const now = new Set(await batchesUnderWay(pool));
    left = left.filter((batch) => now.has(batch));
  }
  return left.length === 0;
}

/** The transactions that have locked rows of a batch, or wait for them, by their virtual ids. */
async function batchesUnderWay(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(`
    SELECT virtualtransaction AS id FROM pg_locks
    WHERE locktype = 'relation' AND mode IN ('RowShareLock', 'RowExclusiveLock')
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation IN ('levels'::regclass, 'reservations'::regclass)`);
  return rows.map(({ id }) => id);
}

/** Records the key and takes it back: an insertion waits for whoever has inserted the same. */
async function tryKey(
  pool: pg.Pool,
  tenant: string,
  key: string,
): Promise<'free' | 'recorded' | 'pending'> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${writerWaitMs}`);
    const { rowCount } = await client.query(
      `INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
       VALUES ($1, $2, decode(repeat('00', 32), 'hex'), 100, '', '', '-infinity')
       ON CONFLICT (scope, key) DO NOTHING`,
      [tenant, key],
    );
    return rowCount === 1 ? 'free' : 'recorded';
  } catch (error) {
    if (sqlState(error) === lockNotAvailable) return 'pending';
    failure = error as Error;
    throw error;
  } finally {
    await client.query('ROLLBACK').catch((error: Error) => {
      failure ??= error;
    });
    client.release(failure);
  }
}
