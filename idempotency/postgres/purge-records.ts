import { deleteExpiredRecords } from './delete-expired-records.ts';
import { type Query, rowsOf } from './query.ts';

/** The next scope that has records: the primary key answers it with one look. */
export const nextScopeSql = 'SELECT min(scope) AS scope FROM idempotency_records WHERE scope > $1';

/**
 * Deletes the expired records of all scopes, in chunks of one statement each.
 *
 * Safe to run anywhere at any time, also twice at once: rows that another purge holds are skipped.
 * @param query outside a transaction, so that each chunk commits by itself
 * @returns how many were deleted
 */
export async function purgeRecords(query: Query, chunkSize = 1_000): Promise<number> {
  let purged = 0;
  // The empty scope is that of a single tenant; no look for what comes after it would find it.
  let scope: string | null = '';
  while (scope !== null) {
    let chunk = chunkSize;
    while (chunk === chunkSize) {
      chunk = await deleteExpiredRecords(query, scope, chunkSize);
      purged += chunk;
    }
    scope = await nextScope(query, scope);
  }
  return purged;
}

async function nextScope(query: Query, after: string): Promise<string | null> {
  return rowsOf<{ scope: string | null }>(await query(nextScopeSql, [after]))[0]?.scope ?? null;
}
