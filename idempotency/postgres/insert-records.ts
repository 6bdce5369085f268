import type { IdempotencyRecord } from '../answer.ts';
import type { Query } from './query.ts';

/** Without ON CONFLICT: a key that is recorded already must end the transaction (23505). */
export const insertRecordsSql = `
INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
SELECT $1, r.key, decode(r.fingerprint, 'hex'), r.status, r.headers, r.body,
       now() + $7::float8 * interval '1 millisecond'
  FROM unnest($2::text[], $3::text[], $4::smallint[], $5::text[], $6::bytea[])
    AS r (key, fingerprint, status, headers, body)`;

/**
 * Inserts the records of some keys of one scope.
 *
 * @param retentionMs how long they are kept at least
 * @throws a unique violation (SQLSTATE 23505) when one of the keys has a record; nothing is written
 */
export async function insertRecords(
  query: Query,
  scope: string,
  records: readonly (IdempotencyRecord & { key: string })[],
  retentionMs: number,
): Promise<void> {
  await query(insertRecordsSql, [
    scope,
    records.map((record) => record.key),
    records.map((record) => record.fingerprint),
    records.map((record) => record.answer.status),
    records.map((record) => JSON.stringify(record.answer.headers)),
    records.map((record) => record.answer.body),
    retentionMs,
  ]);
}
