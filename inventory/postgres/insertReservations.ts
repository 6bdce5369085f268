import type { Reservation, ReservationLine } from '../stock/stock.ts';
import { plainArray, textArray } from './arrays.ts';
import { rfc3339 } from './rfc3339.ts';
import type { Transaction } from './transaction.ts';

const reservationsStatement = {
  name: 'insert-reservations',
  text: `
    INSERT INTO reservations (tenant_id, recorded_at, reservation_id, posting_id, warehouse,
                              reference, expires_at, closed)
    SELECT $1, $2::timestamptz, r.*
    FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[], $8::boolean[])
      AS r`,
};

const linesStatement = {
  name: 'insert-reservation-lines',
  text: `
    INSERT INTO reservation_lines (tenant_id, reservation_id, position, warehouse, product,
                                   quantity, shipped, released, expires_at)
    SELECT $1, line.*
    FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::timestamptz[]) AS line`,
};

/** A reservation as a batch leaves it. */
export interface ReservationWrite extends Reservation {
  readonly closed: boolean;
}

/** The lines of all reservations in a row, each with the reservation it belongs to. */
export function linesOf<R extends Reservation>(
  reservations: readonly R[],
): { reservation: R; line: ReservationLine; position: number }[] {
  return reservations.flatMap((reservation) =>
    reservation.lines.map((line, position) => ({ reservation, line, position })),
  );
}

/** @param recordedAt RFC 3339 */
export async function insertReservations(
  transaction: Transaction,
  tenant: string,
  recordedAt: string,
  reservations: readonly ReservationWrite[],
): Promise<void> {
  const lines = linesOf(reservations);
  await Promise.all([
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
