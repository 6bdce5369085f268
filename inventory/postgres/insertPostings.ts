import { textArray } from './arrays.ts';
import type { BatchWrite } from './batchWrite.ts';
import type { Operation } from './operation.ts';

/** The postings of a batch, all of one instant. */
export const insertPostings: Operation<Pick<BatchWrite, 'tenant' | 'recordedAt' | 'postings'>> = {
  name: 'insert-postings',
  text: `
    INSERT INTO postings (tenant_id, recorded_at, posting_id, type, reference, note, occurred_at,
                          metadata, reason, reservation_id, reverses)
    SELECT $1, $2::timestamptz, p.*
    FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::json[],
                $9::text[], $10::uuid[], $11::uuid[]) AS p`,
  values: ({ tenant, recordedAt, postings }) => [
    tenant,
    recordedAt,
    textArray(postings.map((p) => p.id)),
    textArray(postings.map((p) => p.type)),
    textArray(postings.map((p) => p.reference)),
    textArray(postings.map((p) => p.note)),
    textArray(postings.map((p) => p.occurredAt)),
    textArray(postings.map((p) => (p.metadata === null ? null : JSON.stringify(p.metadata)))),
    textArray(postings.map((p) => p.reason)),
    textArray(postings.map((p) => p.reservation)),
    textArray(postings.map((p) => p.reverses)),
  ],
};
