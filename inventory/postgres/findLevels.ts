import type pg from 'pg';
import type { Pair } from '../stock/stock.ts';
import { heldOnLevel } from './heldUnits.ts';
import { Conditions, type PageOf, rowsOf } from './reads.ts';

/** A level as a reader sees it: holds that are over count as available already. */
export interface LevelRow extends Pair {
  readonly onHand: number;
  readonly reserved: number;
  /**
   * `reserved` as the ledger has it at `sequence`: larger while a hold that is over is not booked.
   */
  readonly reservedInLedger: number;
  readonly sequence: number;
}

/** The columns of a LevelRow, of `levels l`. */
// Units of expired reservations are available from the instant they expire; the ledger books that
// with the level's next command. The time is the statement's: `clock_timestamp()` changes within
// one, so it bounds no index scan, and each read would go through all holds of the level.
export const levelColumns = `
  l.warehouse, l.product, l.on_hand AS "onHand", l.sequence, l.reserved AS "reservedInLedger",
  l.reserved - ${heldOnLevel('line.expires_at <= statement_timestamp()')}::bigint AS reserved`;

/** Levels by warehouse and product, in the order of their codes. */
export function findLevels(
  pool: pg.Pool,
  tenant: string,
  filter: { warehouse?: string | undefined; product?: string | undefined },
  page: PageOf<Pair>,
): Promise<LevelRow[]> {
  const where = new Conditions(tenant);
  where.equals('l.warehouse', filter.warehouse);
  where.equals('l.product', filter.product);
  if (page.after !== undefined) {
    const { warehouse, product } = page.after;
    where.add(
      `(l.warehouse, l.product) > (${where.parameter(warehouse)}, ${where.parameter(product)})`,
    );
  }
  const text = `SELECT ${levelColumns} FROM levels l WHERE l.tenant_id = $1${where.text}
    ORDER BY l.warehouse, l.product LIMIT ${where.parameter(page.limit)}`;
  return rowsOf<LevelRow>(pool, text, where.values);
}

/**
 * One level as the ledger had it at a time: its last movement up to then.
 *
 * A level's movements are numbered without a gap and their times never go back, so a binary search
 * by primary key finds it in some twenty look-ups, without an index on times.
 * @param at RFC 3339
 * @returns undefined before the first movement
 */
export async function findLevelAt(
  pool: pg.Pool,
  tenant: string,
  { warehouse, product }: Pair,
  at: string,
): Promise<LevelRow | undefined> {
  const text = `
    WITH RECURSIVE search (low, high) AS (
      SELECT 0::bigint, l.sequence FROM levels l
      WHERE l.tenant_id = $1 AND l.warehouse = $2 AND l.product = $3
      UNION ALL
      SELECT CASE WHEN m.recorded_at <= $4::timestamptz THEN m.sequence ELSE s.low END,
             CASE WHEN m.recorded_at <= $4::timestamptz THEN s.high ELSE m.sequence - 1 END
      FROM search s
      JOIN movements m ON m.tenant_id = $1 AND m.warehouse = $2 AND m.product = $3
        AND m.sequence = (s.low + s.high + 1) / 2
      WHERE s.low < s.high)
    SELECT m.warehouse, m.product, m.on_hand AS "onHand", m.sequence, m.reserved,
      m.reserved AS "reservedInLedger"
    FROM search s
    JOIN movements m ON m.tenant_id = $1 AND m.warehouse = $2 AND m.product = $3
      AND m.sequence = s.low
    WHERE s.low = s.high`;
  const [row] = await rowsOf<LevelRow>(pool, text, [tenant, warehouse, product, at]);
  return row;
}
