import { plainArray, textArray } from './arrays.ts';
import { linesOf, type ReservationWrite } from './insertReservations.ts';
import { rfc3339 } from './rfc3339.ts';
import type { Transaction } from './transaction.ts';

const reservationsStatement = {
  name: 'update-reservations',
  text: `
    UPDATE reservations r
    SET expires_at = new.expires_at, closed = new.closed
    FROM unnest($2::uuid[], $3::timestamptz[], $4::boolean[])
      AS new (reservation_id, expires_at, closed)
    WHERE r.tenant_id = $1 AND r.reservation_id = new.reservation_id`,
};

const linesStatement = {
  name: 'update-reservation-lines',
  text: `
    UPDATE reservation_lines line
    SET shipped = new.shipped, released = new.released, expires_at = new.expires_at
    FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[])
      AS new (reservation_id, product, shipped, released, expires_at)
    WHERE line.tenant_id = $1
      AND line.reservation_id = new.reservation_id AND line.product = new.product`,
};

/**
 * Writes reservations that a batch has changed. The caller holds the locks of the reservations and
 * of all their levels. Expired units are `expireLines`' to write.
 */
export async function updateReservations(
  transaction: Transaction,
  tenant: string,
  reservations: readonly ReservationWrite[],
): Promise<void> {
  const lines = linesOf(reservations);
  await Promise.all([
    transaction.query({
      ...reservationsStatement,
      values: [
        tenant,
        textArray(reservations.map((r) => r.id)),
        textArray(reservations.map((r) => rfc3339(r.expiresAt))),
        plainArray(reservations.map((r) => r.closed)),
      ],
    }),
    transaction.query({
      ...linesStatement,
      values: [
        tenant,
        textArray(lines.map(({ reservation }) => reservation.id)),
        textArray(lines.map(({ line }) => line.product)),
        plainArray(lines.map(({ line }) => line.shipped)),
        plainArray(lines.map(({ line }) => line.released)),
        textArray(lines.map(({ reservation }) => rfc3339(reservation.expiresAt))),
      ],
    }),
  ]);
}
