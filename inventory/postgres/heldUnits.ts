/** SQL of the units that a reservation line, as `line`, still holds. */
export const heldUnits = 'line.quantity - line.shipped - line.released - line.expired';

/**
 * SQL of the units that lines hold on a level, as `l`: one range of the index
 * reservation_lines_open.
 * @param condition which of the lines count
 */
export function heldOnLevel(condition = 'true'): string {
  return `coalesce((
    SELECT sum(${heldUnits})
    FROM reservation_lines line
    WHERE line.tenant_id = l.tenant_id AND line.warehouse = l.warehouse AND line.product = l.product
      AND line.shipped + line.released + line.expired < line.quantity AND ${condition}), 0)`;
}
