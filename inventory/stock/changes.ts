/**
 * Changes asked of levels, before anything is written: may the levels bear them?
 *
 * Without backorder a level keeps `0 ≤ reserved ≤ onHand`. A change is short if it lowers `onHand`
 * or `available` and leaves it below zero. A level that is already below (backorder was switched
 * off) can therefore still be received into.
 */

import { allowsBackorder } from './catalogue.ts';
import { type Refused, refuse, type ShortLine } from './outcomes.ts';
import { add, negate, subtract } from './quantity.ts';
import type { Level, Stock } from './stock.ts';

/** Changes of one level within one posting all have the same sign. */
export interface Change {
  level: Level;
  onHandChange: number;
  reservedChange: number;
  unitCost: string | null;
}

export function changeOf(
  level: Level,
  onHandChange: number,
  reservedChange: number,
  unitCost: string | null = null,
): Change {
  return { level, onHandChange, reservedChange, unitCost };
}

/**
 * @param short lines already found short for another reason, reported together with these
 * @returns `insufficient-stock` with every short level, else `quantity-overflow` with the first,
 *   else undefined: the changes may be posted
 */
export function refuseChanges(
  stock: Stock,
  changes: readonly Change[],
  short: ShortLine[] = [],
): Refused | undefined {
  let overflowing: Level | undefined;
  for (const change of changes.length > 1 ? sumPerLevel(changes) : changes) {
    const shortLine = shortLineOf(stock, change);
    if (shortLine) short.push(shortLine);
    else if (overflows(change)) overflowing ??= change.level;
  }
  if (short.length > 0) return refuse({ code: 'insufficient-stock', lines: short });
  if (!overflowing) return undefined;
  const { warehouse, product } = overflowing;
  return refuse({ code: 'quantity-overflow', warehouse, product });
}

function sumPerLevel(changes: readonly Change[]): Iterable<Change> {
  const sums = new Map<Level, Change>();
  for (const change of changes) {
    const sum = sums.get(change.level);
    if (!sum) {
      sums.set(change.level, { ...change });
      continue;
    }
    sum.onHandChange = add(sum.onHandChange, change.onHandChange);
    sum.reservedChange = add(sum.reservedChange, change.reservedChange);
  }
  return sums.values();
}

function shortLineOf(stock: Stock, change: Change): ShortLine | undefined {
  const { level, onHandChange, reservedChange } = change;
  const { warehouse, product, onHand } = level;
  const taken = subtract(reservedChange, onHandChange);
  const removed = negate(onHandChange);
  // Compared, not subtracted: the result below zero may be beyond the range of a quantity.
  const available = onHand - level.reserved;
  const unavailable = taken > 0 && available < taken;
  const missing = removed > 0 && onHand < removed;
  if (!(unavailable || missing) || allowsBackorder(stock, product)) return undefined;
  return unavailable
    ? { warehouse, product, requested: taken, available }
    : { warehouse, product, requested: removed, available: onHand };
}

function overflows({ level, onHandChange, reservedChange }: Change): boolean {
  const onHand = add(level.onHand, onHandChange);
  const reserved = add(level.reserved, reservedChange);
  return Number.isNaN(subtract(onHand, reserved));
}
