import type { Movement } from '../stock/outcomes.ts';
import { packDigests, plainArray, textArray } from './arrays.ts';
import type { BatchWrite } from './batchWrite.ts';
import type { Operation } from './operation.ts';

/** The movements of a batch, all of one instant. */
export const insertMovements: Operation<Pick<BatchWrite, 'tenant' | 'recordedAt' | 'postings'>> = {
  name: 'insert-movements',
  text: `
    INSERT INTO movements (tenant_id, recorded_at, posting_id, position, warehouse, product,
                           sequence, on_hand_change, reserved_change, on_hand, reserved, unit_cost,
                           hash)
    SELECT $1, $2::timestamptz, m.posting_id, m.position, m.warehouse, m.product, m.sequence,
           m.on_hand_change, m.reserved_change, m.on_hand, m.reserved, m.unit_cost,
           substring($13::bytea FROM 32 * m.n - 31 FOR 32)
    FROM (SELECT unnest($3::uuid[]) AS posting_id, unnest($4::integer[]) AS position,
                 unnest($5::text[]) AS warehouse, unnest($6::text[]) AS product,
                 unnest($7::bigint[]) AS sequence, unnest($8::bigint[]) AS on_hand_change,
                 unnest($9::bigint[]) AS reserved_change, unnest($10::bigint[]) AS on_hand,
                 unnest($11::bigint[]) AS reserved, unnest($12::text[]) AS unit_cost,
                 generate_subscripts($4::integer[], 1) AS n) AS m`,
  values: ({ tenant, recordedAt, postings }) => {
    const ids: string[] = [];
    const positions: number[] = [];
    const movements: Movement[] = [];
    for (const { id, movements: ofPosting } of postings) {
      for (let position = 0; position < ofPosting.length; position++) {
        ids.push(id);
        positions.push(position);
        movements.push(ofPosting[position] as Movement);
      }
    }
    return [
      tenant,
      recordedAt,
      textArray(ids),
      plainArray(positions),
      textArray(movements.map((m) => m.warehouse)),
      textArray(movements.map((m) => m.product)),
      plainArray(movements.map((m) => m.sequence)),
      plainArray(movements.map((m) => m.onHandChange)),
      plainArray(movements.map((m) => m.reservedChange)),
      plainArray(movements.map((m) => m.onHand)),
      plainArray(movements.map((m) => m.reserved)),
      textArray(movements.map((m) => m.unitCost)),
      packDigests(movements.map((m) => m.hash)),
    ];
  },
};
