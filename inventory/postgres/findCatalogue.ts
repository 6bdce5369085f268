import type pg from 'pg';
import { textArray } from './arrays.ts';

/** What a tenant has of the warehouses and products that a batch names. */
export interface Catalogue {
  readonly warehouses: string[];
  readonly products: string[];
}

const statement = {
  name: 'find-catalogue',
  text: `
    SELECT
      coalesce((SELECT json_agg(warehouse) FROM warehouses
                WHERE tenant_id = $1 AND warehouse = ANY($2::text[])), '[]') AS warehouses,
      coalesce((SELECT json_agg(product) FROM products
                WHERE tenant_id = $1 AND product = ANY($3::text[])), '[]') AS products`,
};

export async function findCatalogue(
  pool: pg.Pool,
  tenant: string,
  warehouses: readonly string[],
  products: readonly string[],
): Promise<Catalogue> {
  const { rows } = await pool.query<Catalogue>({
    ...statement,
    values: [tenant, textArray(warehouses), textArray(products)],
  });
  return rows[0] as Catalogue;
}
