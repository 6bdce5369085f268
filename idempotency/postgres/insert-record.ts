import type { IdempotencyRecord } from '../answer.ts';
import type { Query } from './query.ts';

/**
 * Text and numbers only, which every driver sends alike; without ON CONFLICT, see insert-records.
 */
export const insertRecordSql = `
INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
VALUES ($1, $2, decode($3, 'hex'), $4::int, $5, decode($6, 'base64'),
        now() + $7::float8 * interval '1 millisecond')`;

/**
 * Inserts the record of one key, through the transaction that holds the effect.
 *
 * @throws a unique violation (SQLSTATE 23505) when the key has a record: roll the effect back
 */
export async function insertRecord(
  query: Query,
  scope: string,
  key: string,
  record: IdempotencyRecord,
  retentionMs: number,
): Promise<void> {
  const { status, headers, body } = record.answer;
  await query(insertRecordSql, [
    scope,
    key,
    record.fingerprint,
    status,
    JSON.stringify(headers),
    body.toString('base64'),
    retentionMs,
  ]);
}
