import type pg from 'pg';

/**
 * One transaction on one connection, its statements pipelined: they are sent as they are issued and
 * answered in order.
 *
 * A statement behind a failed one is refused by the server (25P02), and a COMMIT behind it becomes a
 * ROLLBACK. Wait for `begun` before the first write is issued: without a transaction every write
 * would stand alone.
 */
export class Transaction {
  readonly #client: pg.PoolClient;
  readonly begun: Promise<unknown>;

  private constructor(client: pg.PoolClient, begin: string) {
    this.#client = client;
    this.begun = client.query(begin);
    // Whoever waits for it sees the error; this only keeps an unawaited one from ending the process.
    this.begun.catch(() => {});
  }

  static async begin(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), 'BEGIN ISOLATION LEVEL READ COMMITTED');
  }

  /** One snapshot for all statements, nothing written, no row locked. */
  static async beginReadOnly(pool: pg.Pool): Promise<Transaction> {
    return new Transaction(await pool.connect(), 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  }

  /** Issues a statement. Its rows arrive as arrays. */
  query<Row extends unknown[]>(config: pg.QueryConfig): Promise<pg.QueryArrayResult<Row>> {
    return this.#client.query<Row>({ ...config, rowMode: 'array' });
  }

  /**
   * Commits behind the writes already issued; they and the COMMIT share one round trip.
   * @throws the first error among them; nothing was written, unless the connection broke: then the
   *   outcome is unknown
   */
  async commit(writes: readonly Promise<unknown>[]): Promise<void> {
    const committed = this.#client.query('COMMIT');
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
