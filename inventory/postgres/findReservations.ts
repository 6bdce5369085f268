import type pg from 'pg';
import type { Reservation, ReservationLine, ReservationStatus } from '../stock/stock.ts';
import { Conditions, type PageOf, rowsOf } from './reads.ts';

export interface ReservationRow extends Reservation {
  /** The database's clock when it was read, in milliseconds: it says whether it has expired. */
  readonly now: number;
}

interface Row extends Omit<ReservationRow, 'lines'> {
  readonly lines: ReservationLine[];
}

const select = `
  SELECT r.reservation_id AS id, r.warehouse, r.reference, r.posting_id AS "postingId",
         (extract(epoch FROM r.expires_at) * 1000)::bigint AS "expiresAt",
         floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint AS now,
         (SELECT json_agg(json_build_object(
                   'product', line.product, 'quantity', line.quantity, 'shipped', line.shipped,
                   'released', line.released, 'expired', line.expired) ORDER BY line.position)
          FROM reservation_lines line
          WHERE line.tenant_id = $1 AND line.reservation_id = r.reservation_id) AS lines
  FROM reservations r
  WHERE r.tenant_id = $1`;

export async function findReservation(
  pool: pg.Pool,
  tenant: string,
  id: string,
): Promise<ReservationRow | undefined> {
  const text = `${select} AND r.reservation_id = $2`;
  const [row] = await rowsOf<Row>(pool, text, [tenant, id], 'find-reservation');
  return row;
}

/** Reservations in the order in which they were made. */
export function findReservations(
  pool: pg.Pool,
  tenant: string,
  filter: { status?: ReservationStatus | undefined },
  page: PageOf<string>,
): Promise<ReservationRow[]> {
  const where = new Conditions(tenant);
  const limit = where.parameter(page.limit);
  const after =
    page.after === undefined ? 'true' : `reservation_id > ${where.parameter(page.after)}`;
  if (filter.status === 'active') where.add(`r.reservation_id = ANY (${activeIds(after, limit)})`);
  else where.add(after);
  if (filter.status === 'closed') where.add('r.closed');
  if (filter.status === 'expired') {
    where.add('NOT r.closed AND r.expires_at <= statement_timestamp()');
  }
  const text = `${select}${where.text} ORDER BY r.reservation_id LIMIT ${limit}`;
  return rowsOf<Row>(pool, text, where.values);
}

/**
 * SQL of the ids of a page of active reservations: of those without an expiry, and of those that still
 * run. In the order of their ids, most that are open and passed by have expired long ago. OFFSET 0 keeps
 * the second to its range of the index by expiry.
 */
function activeIds(after: string, limit: string): string {
  return `ARRAY(
    (SELECT reservation_id FROM reservations
     WHERE tenant_id = $1 AND NOT closed AND expires_at IS NULL AND ${after}
     ORDER BY reservation_id LIMIT ${limit})
    UNION ALL
    (SELECT reservation_id
     FROM (SELECT reservation_id FROM reservations
           WHERE tenant_id = $1 AND NOT closed AND expires_at > statement_timestamp() AND ${after}
           OFFSET 0) running
     ORDER BY reservation_id LIMIT ${limit}))`;
}
