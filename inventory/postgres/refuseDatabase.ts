import type pg from 'pg';

/**
 * The database, or its schema, is not what this code needs and cannot be brought to it. Its message
 * is one clear line.
 */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

/**
 * Refuses a pooler that gives a client another session for each transaction, as PgBouncer does in
 * transaction mode: what is set, prepared or locked for a session would be another client's.
 *
 * A server greets with the process id of the session, a pooler with one that it made up: without
 * one, nothing more is asked. Where others keep the pooler busy it may go unseen.
 * @param client idle, outside of a transaction
 * @param withOther lends another connection to the same place
 * @throws MigrationError
 * Source: PostgreSQL 18 manual, 54.7 Message Formats, BackendKeyData.
 */
export async function refuseTransactionPooler(
  client: pg.Client,
  withOther: (use: (other: pg.Client) => Promise<boolean>) => Promise<boolean>,
): Promise<void> {
  const own = await sessionOf(client);
  if (own === (client as unknown as { processID: number | null }).processID) return;
  const keepsSession = await withOther(async (other) => {
    // While its transaction is open, it has the session that `client` seems to have.
    await other.query('BEGIN');
    return (await sessionOf(other)) !== own && (await sessionOf(client)) === own;
  });
  if (keepsSession) return;
  throw new MigrationError(
    'the pooler before the database gives each transaction another session, as PgBouncer does in transaction mode: use its session mode, or the server itself',
  );
}

async function sessionOf(client: pg.Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid;
}

/**
 * Names and notes are Unicode: with another encoding some would be refused, one by one, as our
 * defect.
 */
export async function refuseEncoding(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('SHOW server_encoding');
  const encoding = rows[0]?.server_encoding;
  if (encoding === 'UTF8') return;
  throw new MigrationError(
    `the database has the encoding ${encoding}: make one with ENCODING 'UTF8' (TEMPLATE template0)`,
  );
}

/**
 * A schema that was made since, as one named like the user, would get tables of its own, and the
 * ledger would be out of sight.
 */
export async function refuseOtherSchema(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ schema: string; first: string }>(`
    SELECT nspname AS schema, current_schema() AS first
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = to_regclass('schema_migrations') AND nspname <> current_schema()`);
  const [other] = rows;
  if (other === undefined) return;
  throw new MigrationError(
    `the tables are in the schema ${other.schema}, but search_path has ${other.first} before it: drop that schema, or ALTER ROLE ... SET search_path = ${other.schema}`,
  );
}

/**
 * A ledger in a schema that search_path does not have is out of sight, and an empty one is about to
 * be made. That is refused nowhere: two installations may share a database.
 */
export async function tellOfOtherLedger(
  client: pg.Client,
  warn: (line: string) => void,
): Promise<void> {
  const { rows } = await client.query<{ schema: string; own: string }>(`
    SELECT nspname AS schema, current_schema() AS own
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE to_regclass('schema_migrations') IS NULL AND relkind = 'r'
      AND relname IN ('schema_migrations', 'idempotency_records')
      AND has_schema_privilege(pg_namespace.oid, 'USAGE')
    GROUP BY nspname HAVING count(*) = 2`);
  for (const { schema, own } of rows) {
    warn(
      `the schema ${schema} of this database has a ledger, and an empty one is made in ${own}: for the other, stop, and ALTER ROLE ... SET search_path = ${schema}`,
    );
  }
}
