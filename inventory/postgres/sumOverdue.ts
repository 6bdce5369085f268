import type { Pair } from '../stock/stock.ts';
import { textArray } from './arrays.ts';
import { heldUnits } from './heldUnits.ts';
import { overdueLines } from './overdueLines.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'sum-overdue',
  text: `
    SELECT line.warehouse, line.product, sum(${heldUnits})::bigint
    FROM ${overdueLines('$2', '$3', 'to_timestamp($4::bigint / 1000.0)')}
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
