import { textArray } from './arrays.ts';
import type { BatchWrite } from './batchWrite.ts';
import type { Operation } from './operation.ts';

/** The postings of a batch, all of one instant. */
export const insertPostings: Operation<Pick<BatchWrite, 'tenant' | 'recordedAt' | 'postings'>> = {
  name: 'insert-postings',
  text: `
    INSERT INTO postings (tenant_id, recorded_at, posting_id, type, reference, note, occurred_at,
                          metadata, reason, reservation_id, reverses)
    SELECT $1, $2::timestamptz, unnest($3::uuid[]), unnest($4::text[]), unnest($5::text[]),
           unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::json[]), unnest($9::text[]),
           unnest($10::uuid[]), unnest($11::uuid[])`,
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
