import { readFileSync } from 'node:fs';
import { describeKeys, LockLost } from '../errors.ts';
import type { Lease } from '../lease.ts';
import type { PostgresQueries } from './driver.ts';

const fenceSql = readFileSync(new URL('./fence.sql', import.meta.url), 'utf8');

/** The table that {@link checkFence} needs, in the schema of the data it guards. */
export const fenceTable = `CREATE TABLE IF NOT EXISTS lock_fence (
  resource text PRIMARY KEY,
  token bigint NOT NULL
)`;

/**
 * Makes PostgreSQL refuse a holder whose lock has passed to a later one, whatever that holder
 * believes.
 *
 * Call it first in the transaction that writes under the lock. One statement; cost: a row a key,
 * which stays, so it suits keys of which there is a bounded number.
 * @param transaction the client on which the transaction was begun
 * @throws LockLost a later holder was here already; roll back
 */
export async function checkFence(
  transaction: PostgresQueries,
  lease: Pick<Lease, 'keys' | 'fencingToken'>,
): Promise<void> {
  const { keys, fencingToken } = lease;
  const { rows } = await transaction.query(fenceSql, [keys, `${fencingToken}`]);
  if (rows.length === keys.length) return;
  throw new LockLost(`a later holder of ${describeKeys(keys)} has written already`, keys);
}
