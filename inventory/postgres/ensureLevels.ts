import type pg from 'pg';
import { textArray } from './arrays.ts';
import type { Pair } from './lockLevels.ts';

const statement = {
  name: 'ensure-levels',
  text: `
    INSERT INTO levels (tenant_id, warehouse, product)
    SELECT $1, pair.warehouse, pair.product
    FROM unnest($2::text[], $3::text[]) AS pair (warehouse, product)
    WHERE pair.warehouse IN (SELECT warehouse FROM warehouses
                             WHERE tenant_id = $1 AND warehouse = ANY($2::text[]))
      AND pair.product IN (SELECT product FROM products
                           WHERE tenant_id = $1 AND product = ANY($3::text[]))
    ORDER BY pair.warehouse, pair.product
    ON CONFLICT DO NOTHING`,
};

/**
 * Makes a level row of zeros for each pair of a known warehouse and a known product.
 *
 * Runs in a transaction of its own, before any row is locked: a row made between locks would break
 * their order.
 */
export async function ensureLevels(
  pool: pg.Pool,
  tenant: string,
  pairs: readonly Pair[],
): Promise<void> {
  await pool.query({
    ...statement,
    values: [
      tenant,
      textArray(pairs.map((pair) => pair.warehouse)),
      textArray(pairs.map((pair) => pair.product)),
    ],
  });
}
