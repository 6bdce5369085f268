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

const columns = `
  r.reservation_id AS id, r.warehouse, r.reference, r.posting_id AS "postingId",
  (extract(epoch FROM r.expires_at) * 1000)::bigint AS "expiresAt",
  floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint AS now`;

const lineJson = `json_build_object(
  'product', line.product, 'quantity', line.quantity, 'shipped', line.shipped,
  'released', line.released, 'expired', line.expired)`;

export async function findReservation(
  pool: pg.Pool,
  tenant: string,
  id: string,
): Promise<ReservationRow | undefined> {
  const text = `
    SELECT ${columns},
           (SELECT json_agg(${lineJson} ORDER BY line.position)
            FROM reservation_lines line
            WHERE line.tenant_id = $1 AND line.reservation_id = r.reservation_id) AS lines
    FROM reservations r
    WHERE r.tenant_id = $1 AND r.reservation_id = $2`;
  const [row] = await rowsOf<Row>(pool, text, [tenant, id], 'find-reservation');
  return row;
}

/**
 * Lines of one page. A page of reservations of the most lines would else be a hundred megabytes;
 * two of them fit, and with their postings are an answer of 1.5 MB.
 */
const pageLinesMax = 4000;

/**
 * Reservations in the order in which they were made.
 *
 * It reads one line more than a page may have, and no further: of the last one, lines may be
 * missing where `fittingReservations` leaves it out.
 */
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
  // Line by line behind the reservations in their order, so that the LIMIT ends both.
  const text = `
    SELECT id, warehouse, reference, "postingId", "expiresAt", now,
           json_agg(json ORDER BY position) AS lines
    FROM (SELECT *
          FROM (SELECT ${columns} FROM reservations r
                WHERE r.tenant_id = $1${where.text}
                ORDER BY r.reservation_id LIMIT ${limit}) page
          LEFT JOIN LATERAL (
            SELECT line.position, ${lineJson} AS json
            FROM reservation_lines line
            WHERE line.tenant_id = $1 AND line.reservation_id = page.id
            ORDER BY line.position) each_line ON true
          ORDER BY id LIMIT ${pageLinesMax + 1}) read
    GROUP BY id, warehouse, reference, "postingId", "expiresAt", now
    ORDER BY id`;
  return rowsOf<Row>(pool, text, where.values);
}

/** How many of the first of these stay within the lines of a page. One always does. */
export function fittingReservations(rows: readonly ReservationRow[]): number {
  let lines = 0;
  for (const [index, row] of rows.entries()) {
    lines += row.lines.length;
    if (lines > pageLinesMax && index > 0) return index;
  }
  return rows.length;
}

/**
 * SQL of the ids of a page of active reservations: of those without an expiry, and of those that
 * still run. In the order of their ids, most that are open and passed by have expired long ago.
 * OFFSET 0 keeps the second to its range of the index by expiry.
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
