import type { Reservation } from '../stock/stock.ts';
import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

type LineRow = [string, number, number, number, number];
type Row = [string, string, string | null, number | null, string, LineRow[]];

const statement = {
  name: 'load-reservations',
  text: `
    SELECT r.reservation_id, r.warehouse, r.reference,
           (extract(epoch FROM r.expires_at) * 1000)::bigint, r.posting_id,
           (SELECT json_agg(json_build_array(line.product, line.quantity, line.shipped,
                                             line.released, line.expired)
                            ORDER BY line.position)
            FROM reservation_lines line
            WHERE line.tenant_id = $1 AND line.reservation_id = r.reservation_id)
    FROM reservations r
    WHERE r.tenant_id = $1 AND r.reservation_id = ANY($2::uuid[])`,
};

/** The state of reservations that the batch has locked; an unknown id is missing. */
export async function loadReservations(
  transaction: Transaction,
  tenant: string,
  ids: readonly string[],
): Promise<Reservation[]> {
  const { rows } = await transaction.query<Row>({
    ...statement,
    values: [tenant, textArray(ids)],
  });
  return rows.map(([id, warehouse, reference, expiresAt, postingId, lines]) => ({
    id,
    warehouse,
    reference,
    expiresAt,
    postingId,
    lines: lines.map(([product, quantity, shipped, released, expired]) => ({
      product,
      quantity,
      shipped,
      released,
      expired,
    })),
  }));
}
