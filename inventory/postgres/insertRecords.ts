import type { BatchWrite } from './batchWrite.ts';
import type { StoredRecord } from './loadContext.ts';
import { rowWrite } from './operation.ts';
import { bytes, digest, json, plain, RowSet, text } from './rowSet.ts';

/**
 * Records the answers of a batch in the transaction of their effects.
 *
 * A plain INSERT: a key that another writer recorded first fails the whole batch (23505), which is
 * then decided again and finds the record. Keys go in sorted, so two batches that hold each other's
 * keys cannot deadlock.
 */
export const insertRecords = rowWrite<
  Pick<BatchWrite, 'tenant' | 'decidedAt' | 'expiresAt' | 'records'>,
  StoredRecord
>({
  name: 'insert-records',
  text: (source, names) => `
    INSERT INTO idempotency_records (scope, created_at, expires_at, ${names})
    SELECT $1, $2::timestamptz, $3::timestamptz, new.* FROM ${source} AS new`,
  values: ({ tenant, decidedAt, expiresAt }) => [tenant, decidedAt, expiresAt],
  columns: new RowSet<StoredRecord>([
    text('key', 'text', (r) => r.key),
    digest('fingerprint', (r) => r.fingerprint),
    plain('status', 'smallint', (r) => r.status),
    json('headers', (r) => r.headers),
    bytes('body', (r) => r.body),
  ]),
  rows: ({ records }) => records.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
});
