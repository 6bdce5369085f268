/** A small stock for tests: warehouses W1 and W2, products A, B, C, and Z that allows backorder. */

import type { Command } from './commands.ts';
import { apply, type Context, decide } from './decide.ts';
import type { Movement, Outcome, Posted, Refusal } from './outcomes.ts';
import { type Level, levelKey, type Reservation, type Stock } from './stock.ts';

export const warehouses = ['W1', 'W2'] as const;
export const products = ['A', 'B', 'C', 'Z'] as const;

type Pair = `${(typeof warehouses)[number]} ${(typeof products)[number]}`;

/** @param levels `[onHand, reserved]` of pairs such as `'W1 A'`; all others stand at zero */
export function exampleStock(levels: Partial<Record<Pair, [number, number?]>> = {}): Stock {
  const stock: Stock = {
    tenant: 'demo',
    warehouses: new Set(warehouses),
    products: new Map(products.map((product) => [product, { allowBackorder: product === 'Z' }])),
    levels: new Map(),
    reservations: new Map(),
    postings: new Map(),
    overdue: [],
  };
  for (const warehouse of warehouses) {
    for (const product of products) {
      const [onHand, reserved = 0] = levels[`${warehouse} ${product}`] ?? [0];
      const level = { warehouse, product, onHand, reserved, sequence: 0, hash: '0'.repeat(64) };
      stock.levels.set(levelKey(warehouse, product), { ...level, recordedAt: 0 });
    }
  }
  return stock;
}

/** Ids `id-1`, `id-2` … in the order they are asked for. */
export function exampleContext(now = 1_000_000): Context {
  let ids = 0;
  return { now, recordedAt: now, nextId: () => `id-${++ids}` };
}

export function levelAt(stock: Stock, pair: Pair): Level {
  const [warehouse = '', product = ''] = pair.split(' ');
  const level = stock.levels.get(levelKey(warehouse, product));
  if (!level) throw new Error(`${pair} is not in the stock`);
  return level;
}

/** `[onHand, reserved]` */
export function quantitiesAt(stock: Stock, pair: Pair): [number, number] {
  const { onHand, reserved } = levelAt(stock, pair);
  return [onHand, reserved];
}

/** Decides and applies a command that must take effect. */
export function post(stock: Stock, command: Command, context: Context): Posted {
  const outcome = decide(stock, command, context);
  if (!outcome.posted) throw new Error(`Refused: ${JSON.stringify(outcome.refusal)}`);
  apply(stock, outcome);
  return outcome;
}

/** Posts a command that must make or change a reservation. */
export function postReservation(stock: Stock, command: Command, context: Context): Reservation {
  const { reservation } = post(stock, command, context);
  if (!reservation) throw new Error(`${command.type} answered no reservation`);
  return reservation;
}

/** Decides a command that must be refused. */
export function refusalOf(stock: Stock, command: Command, context = exampleContext()): Refusal {
  const outcome: Outcome = decide(stock, command, context);
  if (outcome.posted) throw new Error(`Posted: ${JSON.stringify(outcome.posting)}`);
  return outcome.refusal;
}

/** `warehouse product onHandChange/reservedChange → onHand/reserved` */
export function summaryOf(movement: Movement): string {
  const { warehouse, product, onHandChange, reservedChange, onHand, reserved } = movement;
  return `${warehouse} ${product} ${onHandChange}/${reservedChange} → ${onHand}/${reserved}`;
}
