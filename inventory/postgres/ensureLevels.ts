import type pg from 'pg';
import type { Pair } from '../stock/stock.ts';
import { textArray } from './arrays.ts';

const statement = {
  name: 'ensure-levels',
  text: `
    INSERT INTO levels (tenant_id, warehouse, product)
    SELECT $1, pair.warehouse, pair.product
    FROM (SELECT unnest($2::text[]) AS warehouse, unnest($3::text[]) AS product) AS pair
    ORDER BY pair.warehouse, pair.product
    ON CONFLICT DO NOTHING`,
};

/**
 * Makes a level row of zeros for each pair; the caller knows that the warehouse and the product are
 * registered, and nothing ever takes them off the register.
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
