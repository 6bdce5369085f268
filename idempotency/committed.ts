import type { IdempotencyRecord } from './answer.ts';
import { KeyReused } from './errors.ts';

/** Look-up of committed records. */
export interface Records {
  find(scope: string, key: string): Promise<IdempotencyRecord | undefined>;
  /**
   * Like {@link find}, and `pending` where a transaction that has not ended has written the record:
   * for `Idempotency.state`, which else would say of it that it had no effect. Default: `find`.
   */
  lookUp?(scope: string, key: string): Promise<IdempotencyRecord | 'pending' | undefined>;
}

/**
 * Decides a request whose key something else has in flight, by what is committed.
 *
 * What is only in flight may itself be the wrong request: when the claim store was emptied, nothing
 * but its record remembers whose the key is, and the honest retry must have its answer.
 * @returns the record of this very request
 * @throws KeyReused when there is none, or when it belongs to another request
 */
export async function committedRecord(
  records: Records | undefined,
  request: { scope: string; key: string; fingerprint: string },
): Promise<IdempotencyRecord> {
  const record = await records?.find(request.scope, request.key);
  if (!record) throw new KeyReused();
  return sameRequest(record, request);
}

/** @throws KeyReused when the record belongs to another request */
export function sameRequest(
  record: IdempotencyRecord,
  request: { fingerprint: string },
): IdempotencyRecord {
  if (record.fingerprint !== request.fingerprint) throw new KeyReused();
  return record;
}
