/**
 * SQL of the reservation lines, as `line`, whose holds on some of a tenant's levels are over; for
 * FROM.
 *
 * OFFSET 0 keeps it a loop over the pairs, one index probe each. `$1` is the tenant.
 * @param warehouses, products parameters: one array each, side by side
 * @param now an expression of the database's clock
 */
export function overdueLines(warehouses: string, products: string, now: string): string {
  return `
    (SELECT unnest(${warehouses}::text[]) AS warehouse, unnest(${products}::text[]) AS product) AS pair
    CROSS JOIN LATERAL (
      SELECT * FROM reservation_lines
      WHERE tenant_id = $1 AND warehouse = pair.warehouse AND product = pair.product
        AND expires_at <= ${now} AND shipped + released + expired < quantity
      OFFSET 0) line`;
}
