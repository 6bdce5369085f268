/**
 * One statement through whatever the caller's transaction is. `pg`'s `query` fits as it is.
 *
 * @param params strings, numbers, Dates, Buffers and arrays of strings or numbers
 */
export type Query = (sql: string, params: unknown[]) => Promise<{ rows: unknown[] }>;
