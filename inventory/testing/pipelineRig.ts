import type { Cleanup } from '@onhand/fixtures';
import { createTestDatabase, waitFor } from '@onhand/fixtures';
import pg from 'pg';
import { renderOutcome } from '../http/answers.ts';
import type { PipelineObserver, Submission } from '../pipeline/batch.ts';
import { Pipeline, type PipelineOptions } from '../pipeline/pipeline.ts';
import { type Database, openDatabase } from '../postgres/database.ts';
import { migrate } from '../postgres/migrate.ts';
import type { Command } from '../stock/commands.ts';

export const tenant = 'demo';

/** A pipeline on a database of its own, with what it did. */
export interface PipelineRig {
  readonly pipeline: Pipeline;
  readonly database: Database;
  /** What the pipeline told: sizes of committed batches, and errors of failed attempts. */
  readonly committed: number[];
  readonly failures: unknown[];
  /** Another session of the same database. */
  readonly session: pg.Client;
}

export interface RigOptions extends Partial<PipelineOptions> {
  /** An empty database; by default a new one on the server of the run. */
  readonly url?: string;
  /** The pipeline's way to the database, where it is not the direct one. */
  readonly via?: (url: string) => Promise<string> | string;
}

/**
 * Makes a database with warehouses W1, W2, products A, B, C, and a pipeline on it without Redis.
 */
export async function pipelineRig(t: Cleanup, options: RigOptions = {}): Promise<PipelineRig> {
  const url = options.url ?? (await createTestDatabase(t)).url;
  await migrate(url);
  const session = await openSession(t, url);
  await session.query(`
    INSERT INTO warehouses (tenant_id, warehouse) VALUES ('demo', 'W1'), ('demo', 'W2');
    INSERT INTO products (tenant_id, product) VALUES ('demo', 'A'), ('demo', 'B'), ('demo', 'C');
  `);
  return { session, ...addPipeline(t, (await options.via?.(url)) ?? url, options) };
}

/** One more instance on the same database. */
export function addPipeline(t: Cleanup, url: string, options: RigOptions = {}) {
  const database = openDatabase({ url, connections: 6 });
  const committed: number[] = [];
  const failures: unknown[] = [];
  const observer: PipelineObserver = {
    batchCommitted: ({ commands }) => void committed.push(commands),
    batchFailed: ({ error }) => void failures.push(error),
  };
  const pipeline = new Pipeline({
    database,
    locks: undefined,
    retentionMs: 3_600_000,
    render: renderOutcome,
    observer,
    batchCommandsMax: 512,
    batchLinesMax: 4_000,
    queueCommandsMax: 10_000,
    queueWaitMs: 5_000,
    lanesMax: 4,
    ...options,
  });
  t.after(async () => {
    await pipeline.close();
    await database.close();
  });
  return { pipeline, database, committed, failures };
}

/** A session that ends before the test's database is dropped. */
export async function openSession(t: Cleanup, url: string): Promise<pg.Client> {
  const session = new pg.Client({ connectionString: url });
  session.on('error', () => {});
  await session.connect();
  t.after(() => session.end());
  return session;
}

export function openPool(t: Cleanup, url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url });
  // DROP DATABASE, which comes first, ends idle sessions.
  pool.on('error', () => {});
  t.after(() => pool.end());
  return pool;
}

export function submission(key: string, command: Command): Submission {
  return { tenant, key, fingerprint: '0'.repeat(64), command };
}

export function receipt(key: string, product = 'A', quantity = 1, warehouse = 'W1'): Submission {
  return submission(key, { type: 'receipt', warehouse, lines: [{ product, quantity }] });
}

/** What a submission came to: its status, `replayed` or the name of its error. */
export async function fateOf(settled: ReturnType<Pipeline['submit']>): Promise<string> {
  try {
    const { record, replayed } = await settled;
    return `${record.answer.status}${replayed ? ' replayed' : ''}`;
  } catch (error) {
    return (error as Error).name;
  }
}

/** Sessions of the pipeline that wait for a lock. */
export async function waitingSessions(session: pg.Client): Promise<number> {
  // A transaction would otherwise see the activity of its first look.
  await session.query('SELECT pg_stat_clear_snapshot()');
  const { rows } = await session.query(`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'onhand'
      AND wait_event_type = 'Lock'`);
  return rows.length;
}

/** On hand of a level, and Σ of its movements, which must agree. */
export async function quantities(session: pg.Client, product = 'A', warehouse = 'W1') {
  const { rows } = await session.query<{ level: number; ledger: number; movements: number }>(
    `SELECT on_hand::int AS level, sequence::int AS movements,
            (SELECT coalesce(sum(on_hand_change), 0)::int FROM movements m
             WHERE m.warehouse = l.warehouse AND m.product = l.product) AS ledger
     FROM levels l WHERE warehouse = $1 AND product = $2`,
    [warehouse, product],
  );
  return rows[0];
}

/**
 * Makes the nth insert of movements wait for the nth advisory lock: `statement` when it writes,
 * `commit` when its COMMIT arrives; and then fail, if it is the first and `code` is given.
 */
export function holdMovements(when: 'statement' | 'commit', code?: string): string {
  const trigger = when === 'commit' ? 'CONSTRAINT TRIGGER' : 'TRIGGER';
  const timing = when === 'commit' ? 'DEFERRABLE INITIALLY DEFERRED FOR EACH ROW' : '';
  const fails = `IF n = 1 THEN RAISE EXCEPTION 'as meant' USING ERRCODE = '${code}'; END IF;`;
  return `
    CREATE SEQUENCE holds;
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE n bigint := nextval('holds');
      BEGIN
        PERFORM pg_advisory_xact_lock_shared(n);
        ${code === undefined ? '' : fails}
        RETURN NULL;
      END $$;
    CREATE ${trigger} hold AFTER INSERT ON movements ${timing} EXECUTE FUNCTION hold()`;
}

/** Resolves when a batch waits for an advisory lock. */
export async function waitsFor(
  { session }: Pick<PipelineRig, 'session'>,
  lock: number,
): Promise<void> {
  await waitFor(`a batch waits for lock ${lock}`, async () => {
    const { rowCount } = await session.query(
      `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      [lock],
    );
    return rowCount === 1;
  });
}
