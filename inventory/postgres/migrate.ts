import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { sqlState } from './failures.ts';

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

/**
 * Applies the migrations that the database lacks, each in a transaction of its own.
 *
 * Instances that start together queue on an advisory lock. What was applied must be what the code
 * has, byte for byte, and the database must not be newer than the code.
 * @returns the names of the migrations that were applied now
 * @throws MigrationError
 */
export async function migrate(url: string): Promise<string[]> {
  const migrations = await readMigrations();
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  await client.connect();
  try {
    await client.query(`SET lock_timeout = ${lockWaitMs}`);
    await takeTurn(client);
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
    // Ends the session and with it the advisory lock.
    await client.end();
  }
}

async function takeTurn(client: pg.Client): Promise<void> {
  try {
    await client.query(`SELECT pg_advisory_lock(${advisoryLock})`);
  } catch (error) {
    if (sqlState(error) !== '55P03') throw error;
    throw new MigrationError(
      `another instance has been migrating this database for ${lockWaitMs / 1000} s; start again when it is done`,
    );
  }
}

/** Whether the database has exactly the migrations of this code. */
export async function isMigrated(pool: pg.Pool): Promise<boolean> {
  const migrations = await readMigrations();
  const { rows } = await pool.query<Applied>(
    'SELECT version, name, checksum FROM schema_migrations ORDER BY version',
  );
  try {
    return pendingOf(migrations, rows).length === 0;
  } catch (error) {
    // Newer or other migrations than this code's, after a later release has started.
    if (error instanceof MigrationError) return false;
    throw error;
  }
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
    await client.query(text);
    await client.query(
      'INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',
      [version, name, checksum],
    );
    await client.query('COMMIT');
  } catch (error) {
    throw new MigrationError(`migration ${name} failed: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
