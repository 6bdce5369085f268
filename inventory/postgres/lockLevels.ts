import type { Level, Pair } from '../stock/stock.ts';
import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

/** A level as it was locked. */
export interface LockedLevel extends Level {
  /** Its last write was allowed to go below zero. */
  mayBeNegative: boolean;
}

type Row = [string, string, number, number, number, string, number, boolean];

// LATERAL makes the pairs the outer side of a nested loop, so the rows are visited, and locked, in
// the order of the arrays; a plain join would leave the order to the planner.
const select = (lock: '' | 'FOR UPDATE') => `
    SELECT l.warehouse, l.product, l.on_hand, l.reserved, l.sequence, encode(l.hash, 'hex'),
           (extract(epoch FROM l.recorded_at) * 1000)::bigint, l.may_be_negative
    FROM (SELECT unnest($2::text[]) AS warehouse, unnest($3::text[]) AS product) AS pair
    CROSS JOIN LATERAL (
      SELECT * FROM levels
      WHERE tenant_id = $1 AND warehouse = pair.warehouse AND product = pair.product
      ${lock}) l`;

const lockStatement = { name: 'lock-levels', text: select('FOR UPDATE') };
const readStatement = { name: 'read-levels', text: select('') };

/**
 * Loads and locks the levels of one batch.
 *
 * Rows are locked in the order of `pairs`, so two batches queue here instead of deadlocking.
 * @param pairs sorted by (warehouse, product) and unique
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
    ([warehouse, product, onHand, reserved, sequence, hash, recordedAt, mayBeNegative]) => ({
      warehouse,
      product,
      onHand,
      reserved,
      sequence,
      hash,
      recordedAt,
      mayBeNegative,
    }),
  );
}
