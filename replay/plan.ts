import { createHash } from 'node:crypto';
import { commandOf, type Run } from './command.ts';
import { type Order, OrdersFileError, readOrders } from './orders.ts';
import { productCodeOf } from './productCode.ts';
import { add } from './tally.ts';

/** What a whole history holds and needs, known before anything is posted. */
export interface Plan {
  readonly run: Run;
  readonly orders: number;
  /** Invoice lines, including those that no unit falls to. */
  readonly lines: number;
  /** Invoices of no units: counted, never posted. */
  readonly empty: number;
  /** Per product code: the units that leave it in the whole history. */
  readonly leaving: ReadonlyMap<string, number>;
}

/**
 * Reads the whole file once: what is malformed is found before the first request, and the opening
 * stock can be worked out. Its memory grows with the products, not with the invoices.
 * @param name of the run; undefined = the first 12 hex digits of the content's SHA-256
 * @param share of all leaving units that is received first
 * @throws OrdersFileError
 */
export async function planReplay(
  file: string,
  name: string | undefined,
  share: number,
): Promise<Plan> {
  const digest = createHash('sha256');
  const scan = { orders: 0, lines: 0, empty: 0, leaving: new Map<string, number>() };
  const returning = new Map<string, number>();
  for await (const order of readOrders(file, digest)) {
    scan.orders += 1;
    scan.lines += order.stockCodes.length;
    scan.empty += order.units === 0 ? 1 : 0;
    const tooMany = count(order, scan.leaving, returning, share);
    if (tooMany !== undefined) {
      const fault = `the units of product ${tooMany} add up to 2^53 or more`;
      throw new OrdersFileError(file, order.line, fault);
    }
  }
  const runName = name ?? digest.digest('hex').slice(0, 12);
  return { ...scan, run: { name: runName, warehouse: `REPLAY-${runName}` } };
}

/** Any name will do to see which way an invoice's units go. */
const anyRun: Run = { name: '', warehouse: '' };

/**
 * Adds an invoice's units to those that leave and return.
 *
 * Invoices in flight may be decided in any order, so a level can reach the opening stock and all
 * that returns: more than the service can count must not come of it.
 * @returns the first product for which it would
 */
function count(
  order: Order,
  leaving: Map<string, number>,
  returning: Map<string, number>,
  share: number,
): string | undefined {
  for (const code of order.stockCodes) {
    const product = productCodeOf(code);
    if (!leaving.has(product)) leaving.set(product, 0);
  }
  for (const { product, change } of commandOf(order, anyRun)?.lines ?? []) {
    add(change > 0 ? returning : leaving, product, Math.abs(change));
    const out = leaving.get(product) ?? 0;
    const level = openingUnits(out, share) + (returning.get(product) ?? 0);
    if (!Number.isSafeInteger(out) || !Number.isSafeInteger(level)) return product;
  }
  return undefined;
}

/**
 * Units of each product to receive before the first invoice: a share of all that leaves, rounded
 * up. With share 1 no shipment can fail, in whatever order the invoices are decided.
 */
export function openingStock({ leaving }: Plan, share: number): Map<string, number> {
  const units = [...leaving].map(([product, out]) => [product, openingUnits(out, share)] as const);
  return new Map(units.filter(([, opening]) => opening > 0));
}

function openingUnits(leaving: number, share: number): number {
  return Math.ceil(leaving * share);
}
