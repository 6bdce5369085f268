import type { Writable } from 'node:stream';
import type pg from 'pg';

/**
 * One transaction on one connection, its statements pipelined: they are sent as they are issued and
 * answered in order.
 *
 * A statement behind a failed one is refused by the server (25P02), and a COMMIT behind it becomes a
 * ROLLBACK. Wait for `begin` before the first write is issued: without a transaction every write
 * would stand alone.
 *
 * It is open, then ending once its COMMIT or ROLLBACK was sent, then ended. While it is ending the next
 * one may `follow` it; the last on a connection gives the connection back.
 */
export class Transaction {
  readonly #client: pg.PoolClient;
  readonly #begin: string;
  #state: 'open' | 'ending' | 'ended' = 'open';
  #isFollowed = false;

  private constructor(client: pg.PoolClient, begin: string) {
    this.#client = client;
    this.#begin = begin;
  }

  /** Issues the BEGIN: always the first statement, so that it goes out with those behind it. */
  begin(): Promise<unknown> {
    return this.#client.query(this.#begin);
  }

  static async open(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), 'BEGIN ISOLATION LEVEL READ COMMITTED');
  }

  /** One snapshot for all statements, nothing written, no row locked. */
  static async openReadOnly(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  }

  /**
   * The next transaction, on the same connection: the server begins it right behind this one's COMMIT,
   * whatever becomes of that, without a round trip in between.
   * @returns undefined unless this one is ending and nothing follows it yet
   */
  follow(): Transaction | undefined {
    if (this.#state !== 'ending' || this.#isFollowed) return undefined;
    this.#isFollowed = true;
    return new Transaction(this.#client, this.#begin);
  }

  /**
   * Sends everything that `issue` issues in one write to the socket: a batch of statements is then
   * one system call here and one wake-up of the server.
   */
  pipelined<Result>(issue: () => Result): Result {
    const { stream } = (this.#client as unknown as { connection: { stream: Writable } }).connection;
    stream.cork();
    try {
      return issue();
    } finally {
      stream.uncork();
    }
  }

  /** Issues a statement. Its rows arrive as arrays. */
  query<Row extends unknown[]>(config: pg.QueryConfig): Promise<pg.QueryArrayResult<Row>> {
    return this.#client.query<Row>({ ...config, rowMode: 'array' });
  }

  /**
   * Commits behind the writes that `issue` issues; they and the COMMIT share one round trip.
   * @param sent called when all of them are on their way; it must not throw
   * @throws the first error among them; nothing was written, unless the connection broke: then the
   *   outcome is unknown
   */
  async commit(issue: () => readonly Promise<unknown>[], sent = () => {}): Promise<void> {
    const [committed, writes] = this.pipelined(() => {
      const issued = issue();
      return [this.#client.query('COMMIT'), issued] as const;
    });
    this.#state = 'ending';
    try {
      const answered = Promise.all([...writes, committed]);
      // Not unhandled, should `sent` throw.
      answered.catch(() => {});
      sent();
      await answered;
      const { command } = await committed;
      if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
    } finally {
      await this.#end(committed);
    }
  }

  /** Ends with nothing written. Does nothing once the COMMIT was sent: the server has ended it. */
  async rollback(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    await this.#end(this.#client.query('ROLLBACK'));
  }

  /**
   * Waits for the last statement and gives the connection back, unless another transaction follows. A
   * connection on which even that failed is closed, and the server rolls back by itself.
   */
  async #end(last: Promise<unknown>): Promise<void> {
    const failure = await last.then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error : true),
    );
    this.#state = 'ended';
    if (!this.#isFollowed) this.#client.release(failure);
  }
}
