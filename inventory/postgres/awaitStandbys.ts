import type pg from 'pg';
import type { Transaction } from './transaction.ts';

/**
 * Makes the commit behind it wait for the synchronous standbys, where there are any.
 *
 * A commit that waits for them is on disk, and after a crash of the primary it is seen though no standby
 * may have it. An answer that rests on what was read could then be lost by a failover. What is written
 * behind it arrives at a standby after it. Written it must be: a commit without WAL waits for nobody.
 * Source: PostgreSQL manual, Synchronous Replication; Replication Management Functions.
 */
const statement = {
  name: 'await-standbys',
  text: `
    SELECT CASE WHEN current_setting('synchronous_standby_names') <> ''
                THEN pg_logical_emit_message(true, 'onhand', '') END`,
};

/** A column for the select list of what an answer may rest on: whether there are such standbys. */
export const hasStandbys = `current_setting('synchronous_standby_names') <> '' AS "hasStandbys"`;

/** For a transaction that writes nothing else. */
export function awaitStandbys(transaction: Transaction): Promise<unknown> {
  return transaction.query(statement);
}

/** As long as a statement may take: whoever waits longer is told that the database is out of reach. */
const confirmMsMax = 12_000;
/**
 * How long the one wait of this process may last. A session whose client has given up stays at the server
 * until the standbys are back, so it must not be one for each who asks.
 */
const waitMsMax = 600_000;

/**
 * Waits for the standbys on behalf of all who have read something outside of a transaction: one wait at
 * a time, on a connection of the writes, which wait as well then.
 */
export class Standbys {
  readonly #writes: pg.Pool;
  /** A wait that has not begun, for all who have read something by then. */
  #waiting: Promise<unknown> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(writes: pg.Pool) {
    this.#writes = writes;
  }

  /**
   * Resolves once they have all that was committed before.
   * @throws an error of a connection that timed out
   */
  async confirm(): Promise<void> {
    this.#waiting ??= this.#wait();
    const late = Promise.withResolvers<never>();
    const error = Object.assign(new Error('the standbys do not answer'), { code: 'ETIMEDOUT' });
    const timer = setTimeout(() => late.reject(error), confirmMsMax).unref();
    try {
      await Promise.race([this.#waiting, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #wait(): Promise<unknown> {
    const waited = this.#turn.then(() => {
      this.#waiting = undefined;
      // `pg` takes the time-out of one statement, but its types do not know it.
      return this.#writes.query({ ...statement, query_timeout: waitMsMax } as pg.QueryConfig);
    });
    this.#turn = waited.catch(() => {});
    return waited;
  }
}
