import { textArray } from './arrays.ts';
import type { Pair } from './lockLevels.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'sum-overdue',
  text: `
    SELECT line.warehouse, line.product,
           sum(line.quantity - line.shipped - line.released - line.expired)::bigint
    FROM (SELECT unnest($2::text[]) AS warehouse, unnest($3::text[]) AS product) AS pair
    CROSS JOIN LATERAL (
      SELECT * FROM reservation_lines
      WHERE tenant_id = $1 AND warehouse = pair.warehouse AND product = pair.product
        AND expires_at <= to_timestamp($4::bigint / 1000.0)
        AND shipped + released + expired < quantity
      OFFSET 0) line
    GROUP BY line.warehouse, line.product`,
};

/**
 * The units of each level whose holds are over.
 * @param now milliseconds since the epoch, from the database's clock
 */
export async function sumOverdue(
  transaction: Transaction,
  tenant: string,
  pairs: readonly Pair[],
  now: number,
): Promise<(Pair & { units: number })[]> {
  const { rows } = await transaction.query<[string, string, number]>({
    ...statement,
    values: [
      tenant,
      textArray(pairs.map((pair) => pair.warehouse)),
      textArray(pairs.map((pair) => pair.product)),
      `${now}`,
    ],
  });
  return rows.map(([warehouse, product, units]) => ({ warehouse, product, units }));
}
