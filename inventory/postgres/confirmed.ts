import type pg from 'pg';

/**
 * The answer of a commit that its own server has, and a standby perhaps not: its wait was
 * cancelled, by pg_cancel_backend as an administrator sends it to sessions that hang.
 */
export class UnconfirmedError extends Error {
  override readonly name = 'UnconfirmedError';
  /** The server's, of any warning. */
  readonly code = '01000';
}

/**
 * Where the server says: "The transaction has already committed locally, but might not have been
 * replicated".
 */
const routine = 'SyncRepWaitForLSN';

/**
 * Waits for a statement that commits, and for the synchronous standbys that it waits for.
 *
 * A server whose wait is cancelled reports success, and a warning before it. Call it in the turn in
 * which the statement is sent.
 * @throws UnconfirmedError when they may not have it
 * Source: PostgreSQL 18 manual, 26.2.8.3; src/backend/replication/syncrep.c, SyncRepWaitForLSN.
 */
export async function confirmed<Result>(
  client: pg.ClientBase,
  statement: Promise<Result>,
): Promise<Result> {
  let doubt: UnconfirmedError | undefined;
  const onNotice = (notice: { message?: string | undefined; routine?: string | undefined }) => {
    if (notice.routine === routine) doubt ??= new UnconfirmedError(notice.message);
  };
  client.on('notice', onNotice);
  try {
    const result = await statement;
    if (doubt !== undefined) throw doubt;
    return result;
  } finally {
    client.off('notice', onNotice);
  }
}

/**
 * Runs a statement that commits by itself, as {@link confirmed} does. A connection on which it
 * failed is closed.
 */
export async function queryConfirmed<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  query: pg.QueryConfig,
): Promise<pg.QueryResult<Row>> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    return await confirmed(client, client.query<Row>(query));
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    client.release(failure);
  }
}
