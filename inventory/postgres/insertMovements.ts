import type { Movement } from '../stock/outcomes.ts';
import type { BatchWrite } from './batchWrite.ts';
import { rowWrite } from './operation.ts';
import { digest, plain, RowSet, text } from './rowSet.ts';

/** A movement in its place. */
interface Row {
  readonly posting: string;
  readonly position: number;
  readonly movement: Movement;
}

/** The movements of a batch, all of one instant. */
export const insertMovements = rowWrite<
  Pick<BatchWrite, 'tenant' | 'recordedAt' | 'postings'>,
  Row
>({
  name: 'insert-movements',
  text: (source, names) => `
    INSERT INTO movements (tenant_id, recorded_at, ${names})
    SELECT $1, $2::timestamptz, new.* FROM ${source} AS new`,
  values: ({ tenant, recordedAt }) => [tenant, recordedAt],
  columns: new RowSet<Row>([
    text('posting_id', 'uuid', ({ posting }) => posting),
    plain('position', 'integer', ({ position }) => position),
    text('warehouse', 'text', ({ movement }) => movement.warehouse),
    text('product', 'text', ({ movement }) => movement.product),
    plain('sequence', 'bigint', ({ movement }) => movement.sequence),
    plain('on_hand_change', 'bigint', ({ movement }) => movement.onHandChange),
    plain('reserved_change', 'bigint', ({ movement }) => movement.reservedChange),
    plain('on_hand', 'bigint', ({ movement }) => movement.onHand),
    plain('reserved', 'bigint', ({ movement }) => movement.reserved),
    text('unit_cost', 'text', ({ movement }) => movement.unitCost),
    digest('hash', ({ movement }) => movement.hash),
  ]),
  rows: ({ postings }) =>
    postings.flatMap(({ id, movements }) =>
      movements.map((movement, position) => ({ posting: id, position, movement })),
    ),
});
