import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { sqlState } from './failures.ts';
import { refuseReadOnly } from './refuseReadOnly.ts';

/** The schema cannot be brought to what this code needs. Its message is one clear line. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError';
}

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

interface Applied {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

const directory = path.join(import.meta.dirname, '..', 'migrations');

/** Any number that no other program uses as an advisory lock of this database. */
const advisoryLock = 7_316_001;

/** How long to wait for another instance that migrates, and for tables that others use. */
const lockWaitMs = 60_000;

/** How long connecting may take, and each statement that has nothing to wait for. */
const answerWaitMs = 5_000;

/** How long one migration may work; building an index over a large ledger takes many minutes. */
const migrationMs = 3_600_000;

/**
 * How long the server keeps a session that says nothing. A start that gave up on a silent link has
 * left a session there that may hold the advisory lock: it must be gone before the next start,
 * which waits `lockWaitMs`, gives up as well.
 */
const idleMs = 10_000;

const sessionSettings = `
  SET lock_timeout = ${lockWaitMs};
  SET statement_timeout = ${migrationMs};
  SET idle_session_timeout = ${idleMs};
  SET idle_in_transaction_session_timeout = ${idleMs}`;

export interface MigrateOptions {
  /** How long each statement that has nothing to wait for may take, ms. Default 5,000. */
  readonly answerWaitMs?: number;
}

/**
 * Applies the migrations that the database lacks, each in a transaction of its own.
 *
 * Instances that start together queue on an advisory lock. What was applied must be what the code
 * has, byte for byte, and the database must not be newer than the code.
 *
 * No link can hold a start up for ever. A statement that has nothing to wait for is given up after
 * `answerWaitMs`; where the schema is current and nobody migrates, there are no others. One that waits
 * for the advisory lock is given up that long after `lockWaitMs`. A migration's own text is bounded
 * by `migrationMs`; a peer that is gone is noticed sooner, by TCP keep-alive.
 * @returns the names of the migrations that were applied now
 * @throws MigrationError
 * @throws ReadOnlyError
 * @throws an error with the code ETIMEDOUT when the database does not answer in time
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<string[]> {
  const waitMs = options.answerWaitMs ?? answerWaitMs;
  const migrations = await ownMigrations();
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: answerWaitMs,
    query_timeout: waitMs,
    keepAlive: true,
    // Not the two hours that are Linux's default.
    keepAliveInitialDelayMillis: 10_000,
  });
  // A connection that breaks rejects its statement; without a listener the event ends the process.
  client.on('error', () => {});
  try {
    await client.connect();
    try {
      await client.query(sessionSettings);
      await refuseReadOnly(client);
      await refuseEncoding(client);
      await takeTurn(client, waitMs);
      await refuseOtherSchema(client);
      await client.query(`
        CREATE TABLE IF NOT EXISTS schema_migrations (
          version integer PRIMARY KEY,
          name text NOT NULL,
          checksum text NOT NULL,
          applied_at timestamptz NOT NULL DEFAULT now()
        )`);
      const pending = pendingOf(migrations, await readApplied(client));
      for (const migration of pending) await apply(client, migration);
      return pending.map(({ name }) => name);
    } finally {
      await leave(client, waitMs);
    }
  } catch (error) {
    throw inWords(error);
  }
}

/** Names and notes are Unicode: with another encoding some would be refused, one by one, as our defect. */
async function refuseEncoding(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('SHOW server_encoding');
  const encoding = rows[0]?.server_encoding;
  if (encoding === 'UTF8') return;
  throw new MigrationError(
    `the database has the encoding ${encoding}: make one with ENCODING 'UTF8' (TEMPLATE template0)`,
  );
}

/**
 * A schema that was made since, as one named like the user, would get tables of its own, and the ledger
 * would be out of sight.
 */
async function refuseOtherSchema(client: pg.Client): Promise<void> {
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

/** Says in words what `pg` says of a connection, or an answer, that did not come in time. */
function inWords(error: unknown): Error {
  const cause = error as Error;
  if (!/^(timeout expired|Query read timeout)$/.test(cause.message)) return cause;
  const silence = new Error('the database did not answer in time', { cause });
  return Object.assign(silence, { code: 'ETIMEDOUT' });
}

/** Takes the advisory lock: at once where nobody has it, so that only a queue is waited for long. */
async function takeTurn(client: pg.Client, waitMs: number): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>(
    `SELECT pg_try_advisory_lock(${advisoryLock}) AS taken`,
  );
  if (rows[0]?.taken) return;
  try {
    await waitLong(client, `SELECT pg_advisory_lock(${advisoryLock})`, lockWaitMs + waitMs);
  } catch (error) {
    if (sqlState(error) !== '55P03') throw error;
    throw new MigrationError(
      `another instance has been migrating this database for ${lockWaitMs / 1000} s; start again when it is done`,
    );
  }
}

/** A statement with a bound of its own, which `pg` takes but its types do not know. */
async function waitLong(client: pg.Client, text: string, waitMs: number): Promise<void> {
  await client.query({ text, query_timeout: waitMs } as pg.QueryConfig);
}

/** Ends the session, and with it the advisory lock; does not wait for a server that stays silent. */
async function leave(client: pg.Client, waitMs: number): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), waitMs);
  await client.end();
  clearTimeout(timer);
}

/** Whether the database has exactly the migrations of this code. */
export async function isMigrated(pool: pg.Pool): Promise<boolean> {
  const migrations = await ownMigrations();
  try {
    const { rows } = await pool.query<Applied>(
      'SELECT version, name, checksum FROM schema_migrations ORDER BY version',
    );
    return pendingOf(migrations, rows).length === 0;
  } catch (error) {
    // No such table: somebody has put another database in its place.
    if (sqlState(error) === '42P01') return false;
    // Newer or other migrations than this code's, after a later release has started.
    if (error instanceof MigrationError) return false;
    throw error;
  }
}

let kept: Promise<Migration[]> | undefined;

/**
 * The migrations of this code. They are read once in a process, since every `/readyz` asks for them;
 * a failure is not kept.
 */
function ownMigrations(): Promise<Migration[]> {
  kept ??= readMigrations().catch((error) => {
    kept = undefined;
    throw error;
  });
  return kept;
}

async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => /^\d{6}_.*\.sql$/.test(file)).sort();
  return Promise.all(
    files.map(async (file) => {
      const text = await readFile(path.join(directory, file), 'utf8');
      const checksum = createHash('sha256').update(text).digest('hex');
      return { version: Number(file.slice(0, 6)), name: file, text, checksum };
    }),
  );
}

async function readApplied(client: pg.Client): Promise<Applied[]> {
  const { rows } = await client.query<Applied>(
    'SELECT version, name, checksum FROM schema_migrations ORDER BY version',
  );
  return rows;
}

function pendingOf(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  for (const { version, name, checksum } of applied) {
    const ours = migrations.find((migration) => migration.version === version);
    if (ours === undefined) {
      throw new MigrationError(
        `the database is newer than this release: it has migration ${name}; start a newer release`,
      );
    }
    if (ours.checksum !== checksum) {
      throw new MigrationError(
        `migration ${name} was changed after it was applied; restore the file that was applied`,
      );
    }
  }
  const done = new Set(applied.map(({ version }) => version));
  return migrations.filter(({ version }) => !done.has(version));
}

async function apply(client: pg.Client, { version, name, text, checksum }: Migration) {
  try {
    await client.query('BEGIN');
    await waitLong(client, text, migrationMs);
    await client.query(
      'INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',
      [version, name, checksum],
    );
    await client.query('COMMIT');
  } catch (error) {
    const cause = inWords(error);
    throw new MigrationError(`migration ${name} failed: ${cause.message}`, { cause });
  }
}
