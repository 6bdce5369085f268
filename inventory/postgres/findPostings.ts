import type pg from 'pg';
import type { Posting } from '../stock/outcomes.ts';
import { textArray } from './arrays.ts';
import { rowsOf } from './reads.ts';

interface Row extends Omit<Posting, 'recordedAt' | 'occurredAt'> {
  recordedAt: Date;
  occurredAt: Date | null;
}

const text = `
  SELECT p.posting_id AS id, p.type, p.reference, p.note, p.occurred_at AS "occurredAt",
         p.metadata, p.reason, p.reservation_id AS reservation, p.reverses,
         p.recorded_at AS "recordedAt",
         coalesce((SELECT json_agg(json_build_object(
                     'warehouse', m.warehouse, 'product', m.product, 'sequence', m.sequence,
                     'onHandChange', m.on_hand_change, 'reservedChange', m.reserved_change,
                     'onHand', m.on_hand, 'reserved', m.reserved, 'unitCost', m.unit_cost,
                     'hash', encode(m.hash, 'hex')) ORDER BY m.position)
                   FROM movements m
                   WHERE m.tenant_id = $1 AND m.posting_id = p.posting_id), '[]') AS movements
  FROM postings p
  WHERE p.tenant_id = $1 AND p.posting_id = ANY($2::uuid[])`;

/** Postings by id, with their movements; an unknown id is missing. */
export async function findPostings(
  pool: pg.Pool,
  tenant: string,
  ids: readonly string[],
): Promise<Map<string, Posting>> {
  const rows = await rowsOf<Row>(pool, text, [tenant, textArray(ids)], 'find-postings');
  return new Map(
    rows.map((row) => [
      row.id,
      {
        ...row,
        recordedAt: row.recordedAt.getTime(),
        occurredAt: row.occurredAt?.toISOString() ?? null,
      },
    ]),
  );
}
