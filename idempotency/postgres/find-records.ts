import type { IdempotencyRecord } from '../answer.ts';
import { type Query, rowsOf } from './query.ts';

export const findRecordsSql = `
SELECT key, encode(fingerprint, 'hex') AS fingerprint, status, headers, body,
       (extract(epoch FROM expires_at) * 1000)::float8 AS expires_at
  FROM idempotency_records
 WHERE scope = $1 AND key = ANY($2::text[])`;

interface Row {
  key: string;
  fingerprint: string;
  status: number;
  headers: string;
  body: Uint8Array;
  expires_at: number;
}

/**
 * Finds the records of some keys of one scope.
 *
 * A record past its expiry that was not purged yet is found as well: it still blocks its key.
 * @returns by key; keys without a record are absent
 */
export async function findRecords(
  query: Query,
  scope: string,
  keys: readonly string[],
): Promise<Map<string, IdempotencyRecord>> {
  const rows = rowsOf<Row>(await query(findRecordsSql, [scope, keys]));
  return new Map(rows.map((row) => [row.key, toRecord(row)]));
}

function toRecord(row: Row): IdempotencyRecord {
  const body = Buffer.from(row.body.buffer, row.body.byteOffset, row.body.byteLength);
  const headers = JSON.parse(row.headers) as Record<string, string>;
  return {
    fingerprint: row.fingerprint,
    answer: { status: row.status, headers, body },
    expiresAt: Number(row.expires_at),
  };
}
