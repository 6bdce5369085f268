/**
 * One statement through whatever the caller's transaction is. `pg`'s `query` fits as it is; results
 * may be an array of rows (postgres.js, Prisma) or have them in `rows` (pg, Kysely, Drizzle).
 *
 * @param params strings, numbers, Dates, Buffers and arrays of strings or numbers
 */
export type Query = (
  sql: string,
  // biome-ignore lint/suspicious/noExplicitAny: every driver has its own type of parameter
  params: any[],
) => Promise<{ rows: unknown[] } | readonly unknown[]>;

/** The rows of a result, whichever form it has. */
export function rowsOf<Row>(result: { rows: unknown[] } | readonly unknown[]): Row[] {
  return ('rows' in result ? result.rows : result) as Row[];
}
