import { packBytes, packDigests, plainArray, textArray } from './arrays.ts';
import type { BatchWrite } from './batchWrite.ts';
import type { Operation } from './operation.ts';

/**
 * Records the answers of a batch in the transaction of their effects.
 *
 * A plain INSERT: a key that another writer recorded first fails the whole batch (23505), which is
 * then decided again and finds the record. Keys go in sorted, so two batches that hold each other's
 * keys cannot deadlock.
 */
export const insertRecords: Operation<
  Pick<BatchWrite, 'tenant' | 'decidedAt' | 'expiresAt' | 'records'>
> = {
  name: 'insert-records',
  text: `
    INSERT INTO idempotency_records (scope, created_at, expires_at, key, fingerprint, status,
                                     headers, body)
    SELECT $1, $2::timestamptz, $3::timestamptz, r.key,
           substring($5::bytea FROM 32 * r.n - 31 FOR 32), r.status, r.headers,
           substring($8::bytea FROM r.start FOR r.length)
    FROM (SELECT unnest($4::text[]) AS key, unnest($6::smallint[]) AS status,
                 unnest(string_to_array($7, E'\\x1f')) AS headers, unnest($9::integer[]) AS start,
                 unnest($10::integer[]) AS length,
                 generate_subscripts($9::integer[], 1) AS n) AS r`,
  values: ({ tenant, decidedAt, expiresAt, records }) => {
    const sorted = records.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    const { bytes, starts, lengths } = packBytes(sorted.map((r) => r.body));
    return [
      tenant,
      decidedAt,
      expiresAt,
      textArray(sorted.map((r) => r.key)),
      packDigests(sorted.map((r) => r.fingerprint)),
      plainArray(sorted.map((r) => r.status)),
      // JSON text holds no raw control character, so the separator needs no escape.
      sorted.map((r) => JSON.stringify(r.headers)).join('\x1f'),
      bytes,
      starts,
      lengths,
    ];
  },
};
