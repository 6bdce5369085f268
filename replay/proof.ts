import type { Connection } from './connection.ts';
import { openingStock, type Plan } from './plan.ts';
import { isSuccess, problemCode, send } from './send.ts';
import type { Tally } from './tally.ts';

/** One thing that must hold. */
export interface Check {
  readonly passed: boolean;
  /** What holds, or what does not. */
  readonly sentence: string;
}

interface Verified {
  valid: boolean;
  levels: number;
  movements: number;
  faults: { fault: string; warehouse: string; product: string }[];
}

interface LevelPage {
  items: { product: string; onHand: number; reserved: number }[];
  next: string | null;
}

/** The whole ledger is read: minutes when it is large. */
const verifyMsMax = 600_000;

/** Asks the service to prove its ledger. */
export async function verifyLedger(connection: Connection): Promise<Check & Verified> {
  const verified = await get<Verified>(connection, '/v1/verify', verifyMsMax);
  const { valid, levels, movements, faults } = verified;
  const what = `${count(levels)} levels, ${count(movements)} movements`;
  const shown = faults.slice(0, 3).map((each) => `${each.product} ${each.fault}`);
  const sentence = valid
    ? `GET /v1/verify: every level is the sum of its movements (${what})`
    : `GET /v1/verify: ${faults.length} faults in ${what}: ${shown.join(', ')}`;
  return { ...verified, passed: valid, sentence };
}

/**
 * Compares every level with the sum over the file, which the service had no part in: the opening
 * stock and the lines of every invoice that was accepted.
 */
export async function compareStock(
  connection: Connection,
  plan: Plan,
  share: number,
  { changes }: Tally,
): Promise<Check> {
  const expected = openingStock(plan, share);
  for (const [product, change] of changes) {
    expected.set(product, (expected.get(product) ?? 0) + change);
  }
  const levels = await readLevels(connection, plan.run.warehouse);
  const products = new Set([...expected.keys(), ...levels.keys()]);
  const wrong = [...products].filter(
    (product) => (expected.get(product) ?? 0) !== (levels.get(product) ?? 0),
  );
  const shown = wrong
    .slice(0, 3)
    .map((product) => `${product} ${levels.get(product) ?? 0} for ${expected.get(product) ?? 0}`);
  const sentence =
    wrong.length === 0
      ? `GET /v1/stock: all ${count(products.size)} products are at the sum over the file`
      : `GET /v1/stock: ${wrong.length} of ${products.size} products differ from the sum over ` +
        `the file: ${shown.join(', ')}`;
  return { passed: wrong.length === 0, sentence };
}

async function readLevels(connection: Connection, warehouse: string): Promise<Map<string, number>> {
  const levels = new Map<string, number>();
  let cursor: string | null = '';
  while (cursor !== null) {
    const query = new URLSearchParams({ warehouse, limit: '1000' });
    if (cursor !== '') query.set('cursor', cursor);
    const page: LevelPage = await get(connection, `/v1/stock?${query}`);
    for (const { product, onHand } of page.items) levels.set(product, onHand);
    cursor = page.next;
  }
  return levels;
}

async function get<T>(connection: Connection, path: string, timeoutMs = 30_000): Promise<T> {
  const reply = await send(connection, { method: 'GET', path, timeoutMs });
  if (isSuccess(reply)) return JSON.parse(reply.body.toString()) as T;
  throw new Error(`GET ${path}: ${reply.status} ${problemCode(reply)}`);
}

export function count(value: number): string {
  return value.toLocaleString('en');
}
