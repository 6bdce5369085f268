import type { Posting } from '../stock/outcomes.ts';
import type { BatchWrite } from './batchWrite.ts';
import { rowWrite } from './operation.ts';
import { RowSet, text } from './rowSet.ts';

/** The postings of a batch, all of one instant. */
export const insertPostings = rowWrite<
  Pick<BatchWrite, 'tenant' | 'recordedAt' | 'postings'>,
  Posting
>({
  name: 'insert-postings',
  text: (source, names) => `
    INSERT INTO postings (tenant_id, recorded_at, ${names})
    SELECT $1, $2::timestamptz, new.* FROM ${source} AS new`,
  values: ({ tenant, recordedAt }) => [tenant, recordedAt],
  columns: new RowSet<Posting>([
    text('posting_id', 'uuid', (p) => p.id),
    text('type', 'text', (p) => p.type),
    text('reference', 'text', (p) => p.reference),
    text('note', 'text', (p) => p.note),
    text('occurred_at', 'timestamptz', (p) => p.occurredAt),
    text('metadata', 'json', (p) => (p.metadata === null ? null : JSON.stringify(p.metadata))),
    text('reason', 'text', (p) => p.reason),
    text('reservation_id', 'uuid', (p) => p.reservation),
    text('reverses', 'uuid', (p) => p.reverses),
  ]),
  rows: ({ postings }) => postings,
});
