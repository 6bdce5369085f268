import type pg from 'pg';
import type { Movement } from '../stock/outcomes.ts';
import { Conditions, type PageOf, rowsOf } from './reads.ts';

export interface MovementRow extends Movement {
  readonly posting: string;
  readonly position: number;
  readonly recordedAt: Date;
}

export interface MovementFilter {
  readonly warehouse?: string | undefined;
  readonly product?: string | undefined;
  readonly posting?: string | undefined;
}

/** Where a page of movements ended; which part counts depends on the filter. */
export type MovementCursor = Pick<
  MovementRow,
  'warehouse' | 'product' | 'sequence' | 'posting' | 'position'
>;

const columns = `
  m.warehouse, m.product, m.sequence, m.on_hand_change AS "onHandChange",
  m.reserved_change AS "reservedChange", m.on_hand AS "onHand", m.reserved,
  m.unit_cost AS "unitCost", encode(m.hash, 'hex') AS hash, m.posting_id AS posting, m.position,
  m.recorded_at AS "recordedAt"`;

/**
 * Movements, oldest first: of a warehouse or product by level, else in the order of their postings.
 * Each filter is one range of an index, however long the ledger is.
 */
export function findMovements(
  pool: pg.Pool,
  tenant: string,
  filter: MovementFilter,
  page: PageOf<MovementCursor>,
): Promise<MovementRow[]> {
  const where = new Conditions(tenant);
  const byLevel =
    filter.posting === undefined &&
    (filter.warehouse !== undefined || filter.product !== undefined);
  // Through the levels: a product's movements are then one range for each of its warehouses.
  const source = byLevel
    ? `levels l JOIN movements m ON m.tenant_id = l.tenant_id AND m.warehouse = l.warehouse
        AND m.product = l.product`
    : 'movements m';
  const alias = byLevel ? 'l' : 'm';
  where.equals(`${alias}.warehouse`, filter.warehouse);
  where.equals(`${alias}.product`, filter.product);
  where.equals('m.posting_id', filter.posting);
  const order = byLevel
    ? ['l.warehouse', 'l.product', 'm.sequence']
    : ['m.posting_id', 'm.position'];
  if (page.after !== undefined) {
    const { warehouse, product, sequence, posting, position } = page.after;
    const values = byLevel ? [warehouse, product, sequence] : [posting, position];
    const parameters = values.map((value) => where.parameter(value));
    const compared = order.map((column) => column.replace('l.', 'm.'));
    where.add(`(${compared.join(', ')}) > (${parameters.join(', ')})`);
    if (byLevel) where.add(`(l.warehouse, l.product) >= (${parameters[0]}, ${parameters[1]})`);
  }
  const text = `SELECT ${columns} FROM ${source} WHERE ${alias}.tenant_id = $1${where.text}
    ORDER BY ${order.join(', ')} LIMIT ${where.parameter(page.limit)}`;
  return rowsOf<MovementRow>(pool, text, where.values);
}
