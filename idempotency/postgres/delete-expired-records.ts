import { type Query, rowsOf } from './query.ts';

export const deleteExpiredRecordsSql = `
WITH expired AS (
  SELECT scope, key FROM idempotency_records
   WHERE scope = $1 AND expires_at <= now()
   ORDER BY expires_at LIMIT $2
   FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_records r USING expired e
 WHERE r.scope = e.scope AND r.key = e.key
RETURNING 1`;

/**
 * Deletes up to `chunkSize` expired records of one scope, as one statement.
 *
 * @param chunkSize bounds how long the rows stay locked. Default 1 000, some 10 ms
 * @returns how many; fewer than `chunkSize` when none is left
 */
export async function deleteExpiredRecords(
  query: Query,
  scope: string,
  chunkSize = 1_000,
): Promise<number> {
  return rowsOf(await query(deleteExpiredRecordsSql, [scope, chunkSize])).length;
}
