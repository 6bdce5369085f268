import { readFile } from 'node:fs/promises';
import { type Query, rowsOf } from './query.ts';

export interface MigrateOptions {
  /**
   * Create the table of the PostgreSQL claim store too. Default false. It is unlogged; where claims
   * are the only memory, it must be made a logged one, see `postgresClaims`.
   */
  claims?: boolean;
}

/**
 * Creates the tables that are not there yet; safe to call at every start and from many processes.
 *
 * Tables are created in the first schema of the search path. A table that exists is left as it is.
 */
export async function migrate(query: Query, options: MigrateOptions = {}): Promise<void> {
  await createTable(query, 'idempotency_records');
  if (options.claims) await createTable(query, 'idempotency_claims');
}

async function createTable(query: Query, table: string): Promise<void> {
  if (await exists(query, table)) return;
  const file = new URL(`./${table}.sql`, import.meta.url);
  for (const statement of (await readFile(file, 'utf8')).split(/;\s*\n/)) {
    if (statement.trim() === '') continue;
    try {
      await query(statement, []);
    } catch (error) {
      // Another process was faster; it creates the rest as well.
      if (!(await exists(query, table))) throw error;
    }
  }
}

async function exists(query: Query, table: string): Promise<boolean> {
  const result = await query('SELECT to_regclass($1) IS NOT NULL AS present', [table]);
  return rowsOf<{ present: boolean }>(result)[0]?.present === true;
}
