import type pg from 'pg';
import { confirmed } from './confirmed.ts';
import { isReadOnly } from './failures.ts';
import {
  type BoundStatement,
  bind,
  connectionOf,
  type Statement,
  sendTogether,
} from './roundTrip.ts';

/** A statement that was issued, and who waits for its result. */
interface Issued {
  readonly statement: BoundStatement;
  readonly resolve: (result: pg.QueryArrayResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One transaction on one connection, its statements pipelined: those of a round trip are sent and
 * answered together.
 *
 * A statement behind a failed one is not run, or refused by the server (25P02), and a COMMIT behind
 * it becomes a ROLLBACK. All statements of the round trip reject with that failure, also those that
 * ran. Wait for `begin` before the first write is issued: without it a write would be committed by
 * itself.
 *
 * It is open, then ending once its COMMIT or ROLLBACK was sent, then ended. While it is ending the
 * next one may `follow` it; the last on a connection gives the connection back.
 */
export class Transaction {
  readonly #client: pg.PoolClient;
  readonly #begin: Statement;
  #state: 'open' | 'ending' | 'ended' = 'open';
  #isFollowed = false;
  /**
   * Of a server that was demoted: it still answers, and would fail whoever had the connection next.
   */
  #demoted: Error | undefined;
  /** What `pipelined` gathers. */
  #issued: Issued[] | undefined;

  private constructor(client: pg.PoolClient, begin: Statement) {
    this.#client = client;
    this.#begin = begin;
  }

  /** Issues the BEGIN: always the first statement, so that it goes out with those behind it. */
  begin(): Promise<unknown> {
    return this.query(this.#begin);
  }

  static async open(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), {
      name: 'begin',
      text: 'BEGIN ISOLATION LEVEL READ COMMITTED',
    });
  }

  /** One snapshot for all statements, nothing written, no row locked. */
  static async openReadOnly(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), {
      name: 'begin-read-only',
      text: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
    });
  }

  /**
   * The next transaction, on the same connection: the server begins it right behind this one's
   * COMMIT, whatever becomes of that, without a round trip in between.
   * @returns undefined unless this one is ending and nothing follows it yet
   */
  follow(): Transaction | undefined {
    if (this.#state !== 'ending' || this.#isFollowed) return undefined;
    this.#isFollowed = true;
    return new Transaction(this.#client, this.#begin);
  }

  /** Sends what `issue` issues as one round trip. Nothing is sent when it throws. */
  pipelined<Result>(issue: () => Result): Result {
    const issued: Issued[] = [];
    this.#issued = issued;
    let result: Result;
    try {
      result = issue();
    } finally {
      this.#issued = undefined;
    }
    if (issued.length > 0) void this.#run(issued);
    return result;
  }

  /**
   * Issues a statement, within `pipelined` or `commit`. Its rows arrive as arrays.
   *
   * Throws at once when it cannot be issued, so that nothing is sent that it belongs to. Writes
   * must pass that on: an async function would make it a rejection, behind which the COMMIT goes
   * out.
   */
  query<Row extends unknown[]>(statement: Statement): Promise<pg.QueryArrayResult<Row>> {
    const issued = this.#issued;
    if (issued === undefined) throw new Error('a statement was issued outside of a round trip');
    const bound = bind(statement);
    return new Promise((resolve, reject) => {
      issued.push({ statement: bound, resolve: resolve as Issued['resolve'], reject });
    });
  }

  /**
   * Commits behind the writes that `issue` issues; they and the COMMIT share one round trip.
   * @param sent called when all of them are on their way; it must not throw
   * @throws the first error among them; nothing was written, unless the connection broke, or the
   *   wait for standbys was cancelled: then the outcome is unknown
   */
  async commit(issue: () => readonly Promise<unknown>[], sent = () => {}): Promise<void> {
    const [commit, writes] = this.#inOneWrite(() => {
      const issued = this.pipelined(issue);
      return [this.#client.query('COMMIT'), issued] as const;
    });
    this.#state = 'ending';
    try {
      const answered = confirmed(this.#client, Promise.all([...writes, commit]));
      // Not unhandled, should `sent` throw.
      answered.catch(() => {});
      sent();
      await answered;
      const { command } = await commit;
      if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
    } finally {
      await this.#end(commit);
    }
  }

  /** Ends with nothing written. Does nothing once the COMMIT was sent: the server has ended it. */
  async rollback(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    await this.#end(this.#client.query('ROLLBACK'));
  }

  async #run(issued: readonly Issued[]): Promise<void> {
    const statements = issued.map(({ statement }) => statement);
    try {
      const results = await this.#inOneWrite(() => sendTogether(this.#client, statements));
      for (const [at, { resolve }] of issued.entries()) {
        resolve(results[at] as pg.QueryArrayResult);
      }
    } catch (error) {
      if (isReadOnly(error)) this.#demoted = error;
      for (const { reject } of issued) reject(error);
    }
  }

  /** All that `send` sends is one system call here and one wake-up of the server. */
  #inOneWrite<Result>(send: () => Result): Result {
    const { stream } = connectionOf(this.#client);
    stream.cork();
    try {
      return send();
    } finally {
      stream.uncork();
    }
  }

  /**
   * Waits for the last statement and gives the connection back, unless another transaction follows.
   * A connection on which even that failed is closed, and the server rolls back by itself; so is
   * one that cannot write any more.
   */
  async #end(last: Promise<unknown>): Promise<void> {
    const failure = await last.then(
      () => this.#demoted,
      (error: unknown) => (error instanceof Error ? error : true),
    );
    this.#state = 'ended';
    if (!this.#isFollowed) this.#client.release(failure);
  }
}
