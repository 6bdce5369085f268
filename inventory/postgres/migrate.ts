import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { sqlState } from './failures.ts';
import {
  MigrationError,
  refuseEncoding,
  refuseOtherSchema,
  refuseTransactionPooler,
  tellOfOtherLedger,
} from './refuseDatabase.ts';
import { refuseReadOnly } from './refuseReadOnly.ts';

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

/**
 * Texts of migrations that were replaced by one that comes to the same schema. A database that
 * applied one is as good as any other.
 */
const superseded: readonly Pick<Migration, 'version' | 'checksum'>[] = [
  // Made its index first, and deadlocked with reservations when it then dropped the old one.
  { version: 2, checksum: '8a5932d95ccd0dcd993425acf6ca079f80ee7510dccb094a74de552b76837b00' },
];

/** Any number that no other program uses as an advisory lock of this database. */
const advisoryLock = 7_316_001;

/** How long to wait for another instance that migrates, and for tables that others use. */
const lockWaitMs = 60_000;

/**
 * How long one try for the locks of a migration may last, and then how long until the next. All who
 * want the table meanwhile queue behind it, also where only a reader such as pg_dump is in its way:
 * they have their turn between two tries. Longer than the second of deadlock_timeout, after which
 * PostgreSQL cancels an autovacuum that is in the way.
 */
const lockTryMs = 1_500;

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

// A transaction_timeout, of PostgreSQL 17 on, would bound a migration together with its waits.
const sessionSettings = `
  SET lock_timeout = ${lockWaitMs};
  SET statement_timeout = ${migrationMs};
  SET idle_session_timeout = ${idleMs};
  SET idle_in_transaction_session_timeout = ${idleMs};
  SELECT set_config('transaction_timeout', '0', false)
  WHERE current_setting('server_version_num')::int >= 170000`;

export interface MigrateOptions {
  /** How long each statement that has nothing to wait for may take, ms. Default 5,000. */
  readonly answerWaitMs?: number;
  /** How long to try for tables that others use, ms. Default 60,000. */
  readonly lockWaitMs?: number;
  /** How long each try may hold up others, ms. Default 1,500. */
  readonly lockTryMs?: number;
  /** Told in one line of what may not be meant. Default: nobody is. */
  readonly warn?: (line: string) => void;
}

/**
 * Applies the migrations that the database lacks, each in a transaction of its own.
 *
 * Instances that start together queue on an advisory lock. What was applied must be what the code
 * has, byte for byte, and the database must not be newer than the code.
 *
 * No link can hold a start up for ever. A statement that has nothing to wait for is given up after
 * `answerWaitMs`; where the schema is current and nobody migrates, there are no others. One that
 * waits for the advisory lock is given up that long after `lockWaitMs`. A migration whose tables
 * others use is tried again until `lockWaitMs` have passed. Its own text is bounded by
 * `migrationMs`; a peer that is gone is noticed sooner, by TCP keep-alive.
 * @returns the names of the migrations that were applied now
 * @throws MigrationError
 * @throws ReadOnlyError
 * @throws an error with the code ETIMEDOUT when the database does not answer in time
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<string[]> {
  const waitMs = options.answerWaitMs ?? answerWaitMs;
  const migrations = await ownMigrations();
  try {
    return await withClient(url, waitMs, async (client) => {
      await refuseTransactionPooler(client, (use) => withClient(url, waitMs, use));
      await client.query(sessionSettings);
      await endWithClient(client);
      await refuseReadOnly(client);
      await refuseEncoding(client);
      await takeTurn(client, waitMs);
      await refuseOtherSchema(client);
      if (options.warn !== undefined) await tellOfOtherLedger(client, options.warn);
      await client.query(`
        CREATE TABLE IF NOT EXISTS schema_migrations (
          version integer PRIMARY KEY,
          name text NOT NULL,
          checksum text NOT NULL,
          applied_at timestamptz NOT NULL DEFAULT now()
        )`);
      const pending = pendingOf(migrations, await readApplied(client));
      for (const migration of pending) await apply(client, migration, options);
      return pending.map(({ name }) => name);
    });
  } catch (error) {
    throw inWords(error);
  }
}

async function withClient<Result>(
  url: string,
  waitMs: number,
  use: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
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
  await client.connect();
  try {
    return await use(client);
  } finally {
    await leave(client, waitMs);
  }
}

/** Does not leave a migration at work, with its locks, when the start that runs it was killed. */
async function endWithClient(client: pg.Client): Promise<void> {
  try {
    await client.query(`SET client_connection_check_interval = '1s'`);
  } catch (error) {
    // Invalid on platforms whose kernel does not tell. The session then ends with its statement.
    if (sqlState(error) !== '22023') throw error;
  }
}

/** Says in words what `pg` says of a connection, or an answer, that did not come in time. */
function inWords(error: unknown): Error {
  const cause = error as Error;
  if (!/^(timeout expired|Query read timeout)$/.test(cause.message)) return cause;
  const silence = new Error('the database did not answer in time', { cause });
  return Object.assign(silence, { code: 'ETIMEDOUT' });
}

/**
 * Takes the advisory lock: at once where nobody has it, so that only a queue is waited for long.
 */
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

/**
 * Ends the session, and with it the advisory lock; does not wait for a server that stays silent.
 */
async function leave(client: pg.Client, waitMs: number): Promise<void> {
  const timer = setTimeout(() => client.connection.stream.destroy(), waitMs);
  await client.end();
  clearTimeout(timer);
}

/**
 * Whether the database has the migrations of this code, as they are here. It may have newer ones:
 * they suit the release before, whose instances go on until each is replaced.
 */
export async function isMigrated(pool: pg.Pool): Promise<boolean> {
  const migrations = await ownMigrations();
  try {
    const { rows } = await pool.query<Applied>(
      'SELECT version, name, checksum FROM schema_migrations ORDER BY version',
    );
    const newest = migrations.at(-1)?.version ?? 0;
    const known = rows.filter(({ version }) => version <= newest);
    return pendingOf(migrations, known).length === 0;
  } catch (error) {
    // No such table: somebody has put another database in its place.
    if (sqlState(error) === '42P01') return false;
    // Other migrations than this code's.
    if (error instanceof MigrationError) return false;
    throw error;
  }
}

let kept: Promise<Migration[]> | undefined;

/**
 * The migrations of this code. They are read once in a process, since every `/readyz` asks for
 * them; a failure is not kept.
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
    if (ours.checksum !== checksum && !isSuperseded(version, checksum)) {
      throw new MigrationError(
        `migration ${name} was changed after it was applied; restore the file that was applied`,
      );
    }
  }
  const done = new Set(applied.map(({ version }) => version));
  return migrations.filter(({ version }) => !done.has(version));
}

function isSuperseded(version: number, checksum: string): boolean {
  return superseded.some((old) => old.version === version && old.checksum === checksum);
}

async function apply(client: pg.Client, migration: Migration, options: MigrateOptions) {
  const waitMs = options.lockWaitMs ?? lockWaitMs;
  const tryMs = options.lockTryMs ?? lockTryMs;
  const deadline = performance.now() + waitMs;
  try {
    while (!(await tryToApply(client, migration, tryMs))) {
      if (performance.now() > deadline) {
        throw new Error(
          `for ${waitMs / 1000} s other sessions, as of pg_dump, were using the tables that it changes; start again when they are done`,
        );
      }
      await pause(tryMs);
    }
  } catch (error) {
    const cause = inWords(error);
    throw new MigrationError(`migration ${migration.name} failed: ${cause.message}`, { cause });
  }
}

/** @returns false when others held what it has to lock; nothing of it was done then */
async function tryToApply(
  client: pg.Client,
  { version, name, text, checksum }: Migration,
  tryMs: number,
): Promise<boolean> {
  try {
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${tryMs}`);
    await waitLong(client, text, migrationMs);
    await client.query(
      'INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',
      [version, name, checksum],
    );
    await client.query('COMMIT');
    return true;
  } catch (error) {
    // lock_not_available, deadlock_detected
    if (!['55P03', '40P01'].includes(sqlState(error) ?? '')) throw error;
    await client.query('ROLLBACK');
    return false;
  }
}
