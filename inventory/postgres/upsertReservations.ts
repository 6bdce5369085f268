import type { Reservation } from '../stock/stock.ts';
import { plainArray, textArray } from './arrays.ts';
import { rfc3339 } from './rfc3339.ts';
import type { Transaction } from './transaction.ts';

// Found through their primary keys, whatever the planner thinks of the tables (see updateLevels).
const reservationsStatement = {
  name: 'upsert-reservations',
  text: `
    INSERT INTO reservations (tenant_id, recorded_at, reservation_id, posting_id, warehouse,
                              reference, expires_at, closed)
    SELECT $1, $2::timestamptz, unnest($3::uuid[]), unnest($4::uuid[]), unnest($5::text[]),
           unnest($6::text[]), unnest($7::timestamptz[]), unnest($8::boolean[])
    ON CONFLICT (tenant_id, reservation_id) DO UPDATE
    SET expires_at = excluded.expires_at, closed = excluded.closed`,
};

const linesStatement = {
  name: 'upsert-reservation-lines',
  text: `
    INSERT INTO reservation_lines (tenant_id, reservation_id, position, warehouse, product,
                                   quantity, shipped, released, expires_at)
    SELECT $1, unnest($2::uuid[]), unnest($3::integer[]), unnest($4::text[]), unnest($5::text[]),
           unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]),
           unnest($9::timestamptz[])
    ON CONFLICT (tenant_id, reservation_id, product) DO UPDATE
    SET shipped = excluded.shipped, released = excluded.released,
        expires_at = excluded.expires_at`,
};

/** A reservation as a batch leaves it. */
export interface ReservationWrite extends Reservation {
  readonly closed: boolean;
}

/**
 * Writes reservations that a batch has made or changed. The caller holds the locks of those that
 * were there and of all their levels. Expired units are `expireLines`' to write.
 * @param recordedAt RFC 3339, for those that are new
 */
export function upsertReservations(
  transaction: Transaction,
  tenant: string,
  recordedAt: string,
  reservations: readonly ReservationWrite[],
): Promise<unknown> {
  const lines = reservations.flatMap((reservation) =>
    reservation.lines.map((line, position) => ({ reservation, line, position })),
  );
  return Promise.all([
    transaction.query({
      ...reservationsStatement,
      values: [
        tenant,
        recordedAt,
        textArray(reservations.map((r) => r.id)),
        textArray(reservations.map((r) => r.postingId)),
        textArray(reservations.map((r) => r.warehouse)),
        textArray(reservations.map((r) => r.reference)),
        textArray(reservations.map((r) => rfc3339(r.expiresAt))),
        plainArray(reservations.map((r) => r.closed)),
      ],
    }),
    transaction.query({
      ...linesStatement,
      values: [
        tenant,
        textArray(lines.map(({ reservation }) => reservation.id)),
        plainArray(lines.map(({ position }) => position)),
        textArray(lines.map(({ reservation }) => reservation.warehouse)),
        textArray(lines.map(({ line }) => line.product)),
        plainArray(lines.map(({ line }) => line.quantity)),
        plainArray(lines.map(({ line }) => line.shipped)),
        plainArray(lines.map(({ line }) => line.released)),
        textArray(lines.map(({ reservation }) => rfc3339(reservation.expiresAt))),
      ],
    }),
  ]);
}
