import { readFileSync } from 'node:fs';
import type {
  Attempt,
  Claim,
  DriverContext,
  DriverFactory,
  KeyState,
  LockDriver,
} from '../driver.ts';

/** What is used of a `pg` pool or client. */
export interface PostgresQueries {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/**
 * Nothing can be pushed through a pooler in transaction mode, so waiters ask again this often (± a
 * half), in the order of a queue all the same.
 */
const pollMs = 50;
/** One that has not asked for this long has died: twenty of its polls. */
const aliveMs = 1_000;

const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');
const schema = read('./schema.sql');
const inspectSql = read('./inspect.sql');

/** Creates the tables and functions of {@link postgresDriver} in the schema `onhand_lock`. */
export async function installPostgresLocks(queries: PostgresQueries): Promise<void> {
  await queries.query(schema);
}

/**
 * Locks in PostgreSQL 13 or later, for those who have no Redis. Works through a pooler in
 * transaction mode. Call {@link installPostgresLocks} once, for instance in a migration.
 * @param queries a `pg` pool; it stays the caller's to end
 */
export function postgresDriver(queries: PostgresQueries): DriverFactory {
  return (context) => new PostgresDriver(queries, context);
}

class PostgresDriver implements LockDriver {
  readonly #queries: PostgresQueries;
  readonly #context: DriverContext;

  constructor(queries: PostgresQueries, context: DriverContext) {
    this.#queries = queries;
    this.#context = context;
  }

  async acquire(claim: Claim, wait: boolean): Promise<Attempt> {
    const { keys, owner, mode, leaseMs, sending = '' } = claim;
    const values = [keys, owner, mode === 'shared', leaseMs, wait, aliveMs, sending];
    const reply = await this.#call('acquire($1, $2, $3, $4, $5, $6, $7)', values);
    const answer = Number(reply);
    if (answer > 0) return { granted: true, token: answer };
    return {
      granted: false,
      retryMs: -1 - answer,
      queued: wait,
      pollMs: pollMs * (0.5 + Math.random()),
    };
  }

  async extend({ keys, owner, mode, leaseMs }: Claim): Promise<boolean> {
    const values = [keys, owner, mode === 'shared', leaseMs];
    return (await this.#call('extend($1, $2, $3, $4)', values)) === true;
  }

  async release({ keys, owner, sending = '' }: Claim, late = false): Promise<boolean> {
    const values = [keys, owner, late ? sending : ''];
    return Number(await this.#call('release($1, $2, $3)', values)) === keys.length;
  }

  async forceRelease(key: string): Promise<boolean> {
    return Number(await this.#call('force_release($1)', [key])) > 0;
  }

  async inspect(keys: readonly string[]): Promise<KeyState[]> {
    const { rows } = await this.#queries.query(inspectSql, [keys]);
    return (rows as InspectRow[]).map(stateOf);
  }

  async *list(start: string): AsyncGenerator<string[]> {
    const { rows } = await this.#queries.query(
      `SELECT DISTINCT key FROM onhand_lock.holder
        WHERE starts_with(key, $1) AND until > clock_timestamp()`,
      [`${this.#context.prefix}:${start}`],
    );
    yield (rows as { key: string }[]).map(({ key }) => key);
  }

  async close(): Promise<void> {}

  async #call(call: string, values: unknown[]): Promise<unknown> {
    const { rows } = await this.#queries.query(`SELECT onhand_lock.${call} AS reply`, values);
    return (rows[0] as { reply: unknown }).reply;
  }
}

interface InspectRow {
  readonly key: string;
  readonly shared: boolean;
  readonly holders: { owner: string; heldMs: number }[];
  readonly remaining_ms: number;
  readonly waiters: string[];
}

function stateOf({ key, shared, holders, remaining_ms, waiters }: InspectRow): KeyState {
  const mode = holders.length === 0 ? 'free' : shared ? 'shared' : 'exclusive';
  return { key, mode, holders, remainingMs: Math.max(0, remaining_ms), waiters };
}
