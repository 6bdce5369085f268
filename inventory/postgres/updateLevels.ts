import type { BatchWrite } from './batchWrite.ts';
import type { LockedLevel } from './lockLevels.ts';
import { rowWrite } from './operation.ts';
import { digest, plain, RowSet, text } from './rowSet.ts';

/**
 * The levels that a batch has moved. The caller holds their locks.
 *
 * An upsert of rows that are there: each is found through the primary key, which no plan can
 * change. UPDATE … FROM the arrays would let the planner read the tenant's levels once for every
 * batch.
 */
export const updateLevels = rowWrite<
  Pick<BatchWrite, 'tenant' | 'recordedAt' | 'levels'>,
  LockedLevel
>({
  name: 'update-levels',
  text: (source, names) => `
    INSERT INTO levels (tenant_id, recorded_at, ${names})
    SELECT $1, $2::timestamptz, new.* FROM ${source} AS new
    ON CONFLICT (tenant_id, warehouse, product) DO UPDATE
    SET on_hand = excluded.on_hand, reserved = excluded.reserved, sequence = excluded.sequence,
        hash = excluded.hash, may_be_negative = excluded.may_be_negative,
        recorded_at = excluded.recorded_at`,
  values: ({ tenant, recordedAt }) => [tenant, recordedAt],
  columns: new RowSet<LockedLevel>([
    text('warehouse', 'text', (l) => l.warehouse),
    text('product', 'text', (l) => l.product),
    plain('on_hand', 'bigint', (l) => l.onHand),
    plain('reserved', 'bigint', (l) => l.reserved),
    plain('sequence', 'bigint', (l) => l.sequence),
    digest('hash', (l) => l.hash),
    plain('may_be_negative', 'boolean', (l) => l.mayBeNegative),
  ]),
  rows: ({ levels }) => levels,
});
