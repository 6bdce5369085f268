/**
 * Looking things up in the working state: what a caller may get wrong, and what a loader may not.
 */

import { type Refused, refuse } from './outcomes.ts';
import { type Level, levelKey, type Stock } from './stock.ts';

/** @returns the refusal that names the first unknown warehouse, else every unknown product */
export function refuseUnknown(
  stock: Stock,
  warehouses: readonly string[],
  lines: readonly { product: string }[],
): Refused | undefined {
  for (const warehouse of warehouses) {
    if (!stock.warehouses.has(warehouse)) return refuse({ code: 'unknown-warehouse', warehouse });
  }
  let products: Set<string> | undefined;
  for (const { product } of lines) {
    if (stock.products.has(product)) continue;
    products ??= new Set();
    products.add(product);
  }
  return products && refuse({ code: 'unknown-product', products: [...products] });
}

/** @throws Error if the batch did not load the level, which is a fault of the loader */
export function levelOf(stock: Stock, warehouse: string, product: string): Level {
  const level = stock.levels.get(levelKey(warehouse, product));
  if (!level) throw new Error(`The level of ${product} in ${warehouse} was not loaded`);
  return level;
}

/** @throws Error if the batch did not load the product, which is a fault of the loader */
export function allowsBackorder(stock: Stock, product: string): boolean {
  const known = stock.products.get(product);
  if (!known) throw new Error(`The product ${product} was not loaded`);
  return known.allowBackorder;
}
