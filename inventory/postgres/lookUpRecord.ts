import type { IdempotencyRecord } from '@onhand/idempotency';
import type pg from 'pg';
import { sqlState } from './failures.ts';
import type { ConfirmedRecords } from './standbys.ts';

/** A writer of the key is not waited for: only its lock tells of it. The least is 1. */
const writerWaitMs = 1;

const lockNotAvailable = '55P03';

/**
 * What became of a key, for who must know whether its request had an effect: also `pending`, where a
 * transaction that has not ended has written its record. One may be open for long after its caller was
 * told that the outcome is unknown: its COMMIT may wait for a standby, or its connection be lost.
 */
export async function lookUpRecord(
  pool: pg.Pool,
  records: ConfirmedRecords,
  tenant: string,
  key: string,
): Promise<IdempotencyRecord | 'pending' | undefined> {
  const found = await records.find(tenant, key);
  if (found !== undefined) return found;
  const state = await tryKey(pool, tenant, key);
  // Committed in between, or outlived its retention.
  if (state === 'recorded') return records.find(tenant, key);
  return state === 'pending' ? 'pending' : undefined;
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
