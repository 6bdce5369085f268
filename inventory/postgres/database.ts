import pg from 'pg';
import { readOnlyReason, refuseReadOnly } from './refuseReadOnly.ts';
import { connectionOf } from './roundTrip.ts';

/**
 * The connections of one service process.
 *
 * `writes` runs pipelined transactions, one batch on one connection at a time. `lookups` runs
 * single statements by key that commands wait for: API keys, recorded answers. `reads` is for all
 * else: lists, proofs and dry runs, which may take as long as a statement may; entries of the
 * catalogue, the purge, the record of a lock that was taken away, `npm run api-keys`; and, where
 * there are synchronous standbys, repeats, which wait for them. They are separate so that a burst
 * of reads cannot take the connections that new commands need.
 */
export interface Database {
  readonly writes: pg.Pool;
  /** The pool of `reads` where there are fewer than 6 connections. */
  readonly lookups: pg.Pool;
  readonly reads: pg.Pool;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** A PostgreSQL connection URL. */
  readonly url: string;
  /** All connections of this process, 2 or more: about a third of them for lookups and reads. */
  readonly connections: number;
  /** How long a connection beyond the first of its pool stays without work, ms. Default 60,000. */
  readonly idleMs?: number;
  /** Called for an idle connection that broke; the pool has already dropped it. */
  readonly onIdleError?: (error: Error) => void;
}

/** How long to wait for a new connection before the database counts as unreachable. */
const connectTimeoutMs = 3_000;

/**
 * How long one statement may take, row-lock waits included. Longer than the lock wait, so that a
 * queue of writers is reported as what it is; well below a client's patience.
 */
const statementTimeoutMs = 10_000;

/**
 * How long to wait for a row lock. A holder that was stopped is ended by the idle timeout below, so
 * a wait this long ends with the lock or with a retryable error.
 */
const lockTimeoutMs = 6_000;

/**
 * How long a transaction may sit idle: a service that was stopped (SIGSTOP, a frozen machine) in
 * the middle of a batch must not hold its rows. Too short costs one retry; too long lets a frozen
 * process hold its rows.
 */
const idleInTransactionTimeoutMs = 4_000;

/**
 * A black-holed connection is given up after this; longer than the server's own statement limit.
 */
const queryTimeoutMs = 12_000;

const sessionSettings = {
  // What a statement by itself runs in; a role or a database may have another default.
  default_transaction_isolation: 'read committed',
  // What is acknowledged is on disk, and where the standbys are. See `applies`.
  synchronous_commit: 'on',
  statement_timeout: `${statementTimeoutMs}`,
  lock_timeout: `${lockTimeoutMs}`,
  idle_in_transaction_session_timeout: `${idleInTransactionTimeoutMs}`,
  // Each statement is bounded, and each pause between two. PostgreSQL 17 and later.
  transaction_timeout: '0',
  // A client whose machine is gone says nothing any more: its session ends after some 20 s.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '3',
  tcp_keepalives_count: '3',
  timezone: 'UTC',
  // How values are written in what is read here, and that a NULL in the arrays of `arrays.ts` is
  // one.
  datestyle: 'ISO, YMD',
  intervalstyle: 'postgres',
  array_nulls: 'on',
  client_min_messages: 'warning',
  // Every statement has an index for what it looks for, in the order it wants. On tables that are
  // small or not analysed yet the planner prefers to read them whole, and a plan made then stays as
  // they grow.
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  jit: 'off',
};

// Every statement of a batch finds its rows by a whole primary key, from arrays. The planner
// guesses the length of an array; what remains to it here is a nested loop over an index.
const batchSettings = {
  ...sessionSettings,
  plan_cache_mode: 'force_generic_plan',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_material: 'off',
};

/**
 * Which of the settings a session takes: those that its server knows. How a commit waits is the
 * operator's choice; whether it does is not.
 */
const applies = `
  CASE name
    WHEN 'transaction_timeout' THEN current_setting('server_version_num')::int >= 170000
    WHEN 'synchronous_commit' THEN current_setting(name) IN ('off', 'local')
    ELSE true
  END`;

/**
 * A hook for new connections, which refuses those that cannot write. The startup parameter
 * `options` would save its round trip, but PgBouncer refuses it, and the `options` of a URL would
 * take the place of it.
 */
function setting(settings: Readonly<Record<string, string>>) {
  const values = [Object.keys(settings), Object.values(settings)];
  const text = `
    SELECT count(set_config(name, value, false)), ${readOnlyReason}
    FROM unnest($1::text[], $2::text[]) AS s (name, value)
    WHERE ${applies}`;
  return async (client: pg.ClientBase) => {
    try {
      await refuseReadOnly(client, text, values);
    } catch (error) {
      // Before the pool says goodbye: it would wait for the answer of a server that is being left.
      connectionOf(client).stream.destroy();
      throw error;
    }
  };
}

const INT8 = 20;

/** int8 as number: every bigint column is bounded to the JSON-safe integers by a CHECK. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** Opens the pools; nothing is connected until the first statement. */
export function openDatabase(options: DatabaseOptions): Database {
  const lookupConnections = Math.floor(options.connections / 6);
  // Two from 6 on: a proof keeps one busy for as long as the ledger is long.
  const readConnections =
    lookupConnections === 0
      ? Math.max(1, Math.floor(options.connections / 3))
      : Math.max(2, Math.floor(options.connections / 3) - lookupConnections);
  const config: pg.PoolConfig = {
    connectionString: options.url,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: queryTimeoutMs,
    keepAlive: true,
    // The first command after a quiet time must not pay for a new session and its statements.
    min: 1,
    idleTimeoutMillis: options.idleMs ?? 60_000,
    application_name: 'onhand',
    types,
  };
  const open = (settings: Readonly<Record<string, string>>, max: number) => {
    const own = { onConnect: setting(settings), max, pipeline: true };
    return new pg.Pool({ ...config, ...own } as pg.PoolConfig);
  };
  const reads = open(sessionSettings, readConnections);
  const lookups = lookupConnections === 0 ? reads : open(sessionSettings, lookupConnections);
  const writeConnections = options.connections - readConnections - lookupConnections;
  const writes = open(batchSettings, Math.max(1, writeConnections));
  const onIdleError = options.onIdleError ?? (() => {});
  const pools = new Set([reads, lookups, writes]);
  for (const pool of pools) {
    pool.on('error', onIdleError);
    // A connection that breaks while it is in use rejects its statements; without a listener of its
    // own the event would end the process as well.
    pool.on('connect', (client) => client.on('error', () => {}));
  }
  return {
    reads,
    lookups,
    writes,
    close: async () => {
      await Promise.all(Array.from(pools, (pool) => pool.end()));
    },
  };
}
