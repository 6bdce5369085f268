import { packDigests, plainArray, textArray } from './arrays.ts';
import type { BatchWrite } from './batchWrite.ts';
import type { Operation } from './operation.ts';

/**
 * The levels that a batch has moved. The caller holds their locks.
 *
 * An upsert of rows that are there: each is found through the primary key, which no plan can change.
 * UPDATE … FROM the arrays would let the planner read the tenant's levels once for every batch.
 */
export const updateLevels: Operation<Pick<BatchWrite, 'tenant' | 'recordedAt' | 'levels'>> = {
  name: 'update-levels',
  text: `
    INSERT INTO levels (tenant_id, recorded_at, warehouse, product, on_hand, reserved, sequence,
                        hash, may_be_negative)
    SELECT $1, $2::timestamptz, new.warehouse, new.product, new.on_hand, new.reserved,
           new.sequence, substring($8::bytea FROM 32 * new.n - 31 FOR 32), new.may_be_negative
    FROM (SELECT unnest($3::text[]) AS warehouse, unnest($4::text[]) AS product,
                 unnest($5::bigint[]) AS on_hand, unnest($6::bigint[]) AS reserved,
                 unnest($7::bigint[]) AS sequence, unnest($9::boolean[]) AS may_be_negative,
                 generate_subscripts($5::bigint[], 1) AS n) AS new
    ON CONFLICT (tenant_id, warehouse, product) DO UPDATE
    SET on_hand = excluded.on_hand, reserved = excluded.reserved, sequence = excluded.sequence,
        hash = excluded.hash, may_be_negative = excluded.may_be_negative,
        recorded_at = excluded.recorded_at`,
  values: ({ tenant, recordedAt, levels }) => [
    tenant,
    recordedAt,
    textArray(levels.map((l) => l.warehouse)),
    textArray(levels.map((l) => l.product)),
    plainArray(levels.map((l) => l.onHand)),
    plainArray(levels.map((l) => l.reserved)),
    plainArray(levels.map((l) => l.sequence)),
    packDigests(levels.map((l) => l.hash)),
    plainArray(levels.map((l) => l.mayBeNegative)),
  ],
};
