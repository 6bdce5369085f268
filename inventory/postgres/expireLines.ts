import type { Posting } from '../stock/outcomes.ts';
import { plainArray, textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'expire-reservation-lines',
  text: `
    UPDATE reservation_lines line
    SET expired = line.expired + lapsed.units
    FROM (SELECT reservation_id, product, sum(units)::bigint AS units
          FROM (SELECT unnest($2::uuid[]) AS reservation_id, unnest($3::text[]) AS product,
                       unnest($4::bigint[]) AS units) AS part
          GROUP BY reservation_id, product) AS lapsed
    CROSS JOIN LATERAL (
      SELECT ctid FROM reservation_lines
      WHERE tenant_id = $1 AND reservation_id = lapsed.reservation_id AND product = lapsed.product
      OFFSET 0) found
    WHERE line.ctid = found.ctid`,
};

/**
 * Marks the units that `expiry` postings gave back. A line changes only under the lock of its
 * level, which the batch holds; the reservation itself need not be locked.
 */
export function expireLines(
  transaction: Transaction,
  tenant: string,
  expiries: readonly Posting[],
): Promise<unknown> {
  const lapsed = expiries.flatMap((posting) =>
    posting.movements.map((movement) => ({ reservation: posting.reservation, movement })),
  );
  return transaction.query({
    ...statement,
    values: [
      tenant,
      textArray(lapsed.map(({ reservation }) => reservation)),
      textArray(lapsed.map(({ movement }) => movement.product)),
      plainArray(lapsed.map(({ movement }) => -movement.reservedChange)),
    ],
  });
}
