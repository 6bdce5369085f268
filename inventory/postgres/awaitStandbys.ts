import type { Transaction } from './transaction.ts';

/**
 * SQL that makes the commit behind it wait for the synchronous standbys, where there are any.
 *
 * A commit that waits for them is on disk, and after a crash of the primary it is seen though no standby
 * may have it. An answer that rests on what was read could then be lost by a failover. What is written
 * behind it arrives at a standby after it. Written it must be: a commit without WAL waits for nobody.
 * Source: PostgreSQL manual, Synchronous Replication; Replication Management Functions.
 */
export const standbysAwaited = `
  CASE WHEN current_setting('synchronous_standby_names') <> ''
       THEN pg_logical_emit_message(true, 'onhand', '') END`;

const statement = { name: 'await-standbys', text: `SELECT ${standbysAwaited}` };

/** For a transaction that writes nothing else. */
export function awaitStandbys(transaction: Transaction): Promise<unknown> {
  return transaction.query(statement);
}
