import type { Level } from '../stock/stock.ts';
import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

/** A warehouse and a product: what one level row stands for. */
export interface Pair {
  readonly warehouse: string;
  readonly product: string;
}

/** A level as it was locked, with what its product allows. */
export interface LockedLevel extends Level {
  allowBackorder: boolean;
  mayBeNegative: boolean;
}

type Row = [string, string, number, number, number, string, number, boolean, boolean];

const select = `
    SELECT l.warehouse, l.product, l.on_hand, l.reserved, l.sequence, encode(l.hash, 'hex'),
           (extract(epoch FROM l.recorded_at) * 1000)::bigint, l.may_be_negative, p.allow_backorder
    FROM unnest($2::text[], $3::text[]) AS pair (warehouse, product)
    JOIN levels l ON l.tenant_id = $1
      AND l.warehouse = pair.warehouse AND l.product = pair.product
    JOIN products p ON p.tenant_id = $1 AND p.product = pair.product
    ORDER BY l.warehouse, l.product`;

const lockStatement = { name: 'lock-levels', text: `${select} FOR UPDATE OF l` };
const readStatement = { name: 'read-levels', text: select };

/**
 * Loads and locks the levels of one batch.
 *
 * Rows are locked in (warehouse, product) order, so two batches queue here instead of deadlocking.
 * @param pairs unique
 * @returns the levels that have a row, in lock order; a pair without one is missing
 */
export function lockLevels(
  transaction: Transaction,
  tenant: string,
  pairs: readonly Pair[],
): Promise<LockedLevel[]> {
  return levels(transaction, lockStatement, tenant, pairs);
}

/** The same levels without a lock, for a decision that will not be written. */
export function readLevels(
  transaction: Transaction,
  tenant: string,
  pairs: readonly Pair[],
): Promise<LockedLevel[]> {
  return levels(transaction, readStatement, tenant, pairs);
}

async function levels(
  transaction: Transaction,
  statement: { name: string; text: string },
  tenant: string,
  pairs: readonly Pair[],
): Promise<LockedLevel[]> {
  const { rows } = await transaction.query<Row>({
    ...statement,
    values: [
      tenant,
      textArray(pairs.map((pair) => pair.warehouse)),
      textArray(pairs.map((pair) => pair.product)),
    ],
  });
  return rows.map(
    ([
      warehouse,
      product,
      onHand,
      reserved,
      sequence,
      hash,
      recordedAt,
      mayBeNegative,
      allowBackorder,
    ]) => ({
      warehouse,
      product,
      onHand,
      reserved,
      sequence,
      hash,
      recordedAt,
      mayBeNegative,
      allowBackorder,
    }),
  );
}
