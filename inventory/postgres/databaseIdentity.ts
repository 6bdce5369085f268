import { createHash } from 'node:crypto';
import type pg from 'pg';
import { sqlState } from './failures.ts';

/**
 * A short name for this database as it stands: another cluster, another database of it, another
 * schema of that, and a cluster that was restored to a point in time or promoted have other names.
 *
 * Claims in Redis are kept under it, so that those of one database never hold up another that
 * shares the Redis, such as a staging copy or a restored backup.
 * Source: PostgreSQL manual, 9.27.11 Control Data Functions.
 */
export async function databaseIdentity(database: pg.Pool | pg.Client): Promise<string> {
  const identity = await identify(database).catch((error: unknown) => {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    return identifyByMigration(database);
  });
  return createHash('sha256').update(identity).digest('base64url').slice(0, 12);
}

const INSUFFICIENT_PRIVILEGE = '42501';

async function identify(database: pg.Pool | pg.Client): Promise<string> {
  const { rows } = await database.query<{ identity: string }>(`
    SELECT concat_ws(' ', system.system_identifier, point.timeline_id, database.oid,
      current_schema()) AS identity
    FROM pg_control_system() system, pg_control_checkpoint() point, pg_database database
    WHERE database.datname = current_database()`);
  return (rows[0] as { identity: string }).identity;
}

/** Where a host does not let its users read the control data: it tells copies by a dump apart. */
async function identifyByMigration(database: pg.Pool | pg.Client): Promise<string> {
  const { rows } = await database.query<{ identity: string }>(`
    SELECT concat_ws(' ', database.oid, min(applied_at), current_schema()) AS identity
    FROM pg_database database, schema_migrations
    WHERE database.datname = current_database() GROUP BY database.oid`);
  return (rows[0] as { identity: string }).identity;
}
