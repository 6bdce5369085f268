import type pg from 'pg';
import { ReadOnlyError } from './failures.ts';

interface Row {
  /** null where the session can write. */
  readonly readOnlyReason: string | null;
}

/** A column for the select list of any statement: why its session cannot write. */
export const readOnlyReason = `
  CASE WHEN pg_is_in_recovery() THEN 'it is a standby'
       WHEN current_setting('transaction_read_only')::boolean
       THEN 'default_transaction_read_only is on'
  END AS "readOnlyReason"`;

/**
 * Runs a statement that selects `readOnlyReason`.
 *
 * While a failover moves an address, it may lead to a standby. A session that was made there fails
 * every write and reads what is old, for as long as it is kept.
 * @throws ReadOnlyError
 */
export async function refuseReadOnly(
  client: pg.ClientBase,
  text = `SELECT ${readOnlyReason}`,
  values: unknown[] = [],
): Promise<void> {
  const { rows } = await client.query<Row>(text, values);
  const reason = rows[0]?.readOnlyReason;
  if (typeof reason === 'string') throw new ReadOnlyError(reason);
}

/**
 * Asks an idle connection of the pool whether it can still write, and closes it where it cannot.
 *
 * Where all are at work none is waited for, and none more is made: who uses them finds out.
 * @throws ReadOnlyError, also for a new connection where there was none
 */
export async function checkWrites(pool: pg.Pool): Promise<void> {
  if (pool.totalCount > 0 && pool.idleCount <= pool.waitingCount) return;
  const client = await pool.connect();
  try {
    await refuseReadOnly(client);
    client.release();
  } catch (error) {
    client.release(error instanceof Error ? error : true);
    throw error;
  }
}
