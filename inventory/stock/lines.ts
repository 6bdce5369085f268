/** The lines of a command, added up: one total per product, in order of first appearance. */

import { add, sumExactly } from './quantity.ts';

export interface Total {
  product: string;
  /** NaN where the sum is beyond the range of a quantity. */
  amount: number;
  unitCost: string | null;
}

interface Line {
  product: string;
  unitCost?: string;
}

/**
 * @param amountOf the line's quantity or change
 * @returns one total per product and, for receipts, per distinct `unitCost`
 */
export function sumLines<L extends Line>(
  lines: readonly L[],
  amountOf: (line: L) => number,
): Total[] {
  const [only] = lines;
  if (only && lines.length === 1) return [totalOf(only, amountOf(only))];
  const totals = new Map<string, Total>();
  for (const line of lines) {
    const key = keyOf(line);
    const total = totals.get(key);
    if (total) total.amount = add(total.amount, amountOf(line));
    else totals.set(key, totalOf(line, amountOf(line)));
  }
  for (const [key, total] of totals) {
    if (Number.isNaN(total.amount)) {
      total.amount = sumExactly(lines.filter((line) => keyOf(line) === key).map(amountOf));
    }
  }
  return [...totals.values()];
}

function keyOf(line: Line): string {
  return line.unitCost === undefined ? line.product : `${line.product}|${line.unitCost}`;
}

function totalOf(line: Line, amount: number): Total {
  return { product: line.product, amount, unitCost: line.unitCost ?? null };
}
