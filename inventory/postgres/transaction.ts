import type { Writable } from 'node:stream';
import type pg from 'pg';

/**
 * One transaction on one connection, its statements pipelined: they are sent as they are issued and
 * answered in order.
 *
 * A statement behind a failed one is refused by the server (25P02), and a COMMIT behind it becomes a
 * ROLLBACK. Wait for `begin` before the first write is issued: without a transaction every write
 * would stand alone.
 */
export class Transaction {
  readonly #client: pg.PoolClient;
  readonly #begin: string;

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
   * @throws the first error among them; nothing was written, unless the connection broke: then the
   *   outcome is unknown
   */
  async commit(issue: () => readonly Promise<unknown>[]): Promise<void> {
    const [committed, writes] = this.pipelined(() => {
      const issued = issue();
      return [this.#client.query('COMMIT'), issued] as const;
    });
    await Promise.all([...writes, committed]);
    const { command } = await committed;
    if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
    this.#client.release();
  }

  /**
   * Gives the connection back with nothing written. A connection on which even the ROLLBACK fails
   * is closed, and the server rolls back by itself.
   */
  async rollback(): Promise<void> {
    try {
      await this.#client.query('ROLLBACK');
      this.#client.release();
    } catch (error) {
      this.#client.release(error instanceof Error ? error : true);
    }
  }
}
