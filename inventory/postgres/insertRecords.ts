import { hexArray, plainArray, textArray } from './arrays.ts';
import type { StoredRecord } from './loadContext.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'insert-records',
  text: `
    INSERT INTO idempotency_records (scope, created_at, expires_at, key, fingerprint, status,
                                     headers, body)
    SELECT $1, $2::timestamptz, $3::timestamptz, r.*
    FROM unnest($4::text[], $5::bytea[], $6::smallint[], $7::text[], $8::bytea[]) AS r`,
};

/**
 * Records the answers of a batch in the transaction of their effects.
 *
 * A plain INSERT: a key that another writer recorded first fails the whole batch (23505), which is
 * then decided again and finds the record. Keys go in sorted, so two batches that hold each other's
 * keys cannot deadlock.
 * @param createdAt @param expiresAt RFC 3339
 */
export async function insertRecords(
  transaction: Transaction,
  tenant: string,
  createdAt: string,
  expiresAt: string,
  records: readonly StoredRecord[],
): Promise<void> {
  const sorted = records.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  await transaction.query({
    ...statement,
    values: [
      tenant,
      createdAt,
      expiresAt,
      textArray(sorted.map((r) => r.key)),
      hexArray(sorted.map((r) => r.fingerprint)),
      plainArray(sorted.map((r) => r.status)),
      textArray(sorted.map((r) => JSON.stringify(r.headers))),
      hexArray(sorted.map((r) => r.body.toString('hex'))),
    ],
  });
}
