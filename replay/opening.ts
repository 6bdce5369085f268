import type { Connection, Reply } from './connection.ts';
import { openingStock, type Plan } from './plan.ts';
import { stockCodeOf } from './productCode.ts';
import { isSuccess, problemCode, send } from './send.ts';
import { Slots } from './slots.ts';

/** The service refused what every replay needs. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}

/** The service's bound on the lines of one command. */
const linesMax = 2_000;

/**
 * Registers the warehouse and every product, and receives the opening stock.
 *
 * All of it may run again: a PUT replaces, a receipt is the same under its key.
 * @returns movements of the opening receipts
 * @throws SetupError, GaveUpError
 */
export async function open(
  connection: Connection,
  plan: Plan,
  options: { share: number; concurrency: number; signal?: AbortSignal },
): Promise<number> {
  const { warehouse, name } = plan.run;
  const { signal } = options;
  const put = (path: string, text: string) => putName({ connection, signal }, path, text);
  await put(`/v1/warehouses/${warehouse}`, `Replay ${name}`);
  const slots = new Slots(options.concurrency);
  for (const product of plan.leaving.keys()) {
    await slots.run(() => put(`/v1/products/${product}`, stockCodeOf(product)));
  }
  await slots.drained();
  const stock = [...openingStock(plan, options.share)];
  for (let from = 0; from < stock.length; from += linesMax) {
    await receive({ connection, signal }, plan, from, stock.slice(from, from + linesMax));
  }
  return stock.length;
}

interface Setup {
  readonly connection: Connection;
  readonly signal: AbortSignal | undefined;
}

async function putName({ connection, signal }: Setup, path: string, name: string): Promise<void> {
  const call = { method: 'PUT', path, body: JSON.stringify({ name }) } as const;
  const reply = await send(connection, call, { signal });
  require(reply, `PUT ${path}`);
}

async function receive(
  { connection, signal }: Setup,
  { run }: Plan,
  from: number,
  stock: (readonly [product: string, units: number])[],
): Promise<void> {
  const lines = stock.map(([product, quantity]) => ({ product, quantity }));
  const body = JSON.stringify({ warehouse: run.warehouse, reference: 'opening stock', lines });
  const key = `replay/${run.name}/opening/${from}`;
  const call = { method: 'POST', path: '/v1/receipts', key, body } as const;
  const reply = await send(connection, call, { signal });
  const hint = reply.status === 422 ? ': this run was made with another --opening' : '';
  require(reply, `the opening receipt ${key}`, hint);
}

function require(reply: Reply, what: string, hint = ''): void {
  if (isSuccess(reply)) return;
  throw new SetupError(`${what} was refused: ${reply.status} ${problemCode(reply)}${hint}`);
}
