/** Random histories of a small stock: what fast-check draws for the tests of the ledger. */

import fc from 'fast-check';
import type { Command } from '../commands.ts';
import { products, warehouses } from '../examples.ts';

/** A command's reservation or posting is still `pick`: the how-manieth of those that exist. */
export type Intent =
  | { kind: 'command'; command: Command; pick: number }
  | { kind: 'wait'; ms: number }
  | { kind: 'backorder'; allowed: boolean };

const max = Number.MAX_SAFE_INTEGER;

/** Now and then something that does not exist, or a quantity at the end of the range. */
const mostly = <T>(weight: number, arbitrary: fc.Arbitrary<T>, rare: fc.Arbitrary<T>) =>
  fc.oneof({ weight, arbitrary }, { weight: 1, arbitrary: rare });

const huge = fc.integer({ min: max - 9, max });
const warehouse = mostly(60, fc.constantFrom<string>(...warehouses), fc.constant('W9'));
const product = mostly(90, fc.constantFrom<string>(...products), fc.constant('X'));
const quantity = mostly(40, fc.integer({ min: 1, max: 9 }), huge);
const few = mostly(40, fc.integer({ min: 1, max: 2 }), huge);
const change = fc.tuple(quantity, fc.boolean()).map(([n, up]) => (up ? n : -n));
const counted = mostly(30, fc.nat(40), huge);
const unitCost = fc.constantFrom('1.5', '2');
const reason = fc.constant('because');
const ttlSeconds = mostly(8, fc.integer({ min: 1, max: 30 }), fc.constant(0));

export function linesOf<L>(line: fc.Arbitrary<L>): fc.Arbitrary<L[]> {
  return fc.array(line, { minLength: 1, maxLength: 4 });
}

const lines = linesOf(fc.record({ product, quantity }));
const receiptLine = fc.record(
  { product, quantity, unitCost },
  { requiredKeys: ['product', 'quantity'] },
);
const countLine = fc.record(
  { product, counted, expectedOnHand: fc.constant(30) },
  { requiredKeys: ['product', 'counted'] },
);
const heldLines = fc.array(fc.record({ product, quantity: few }), { minLength: 1, maxLength: 2 });

const type = <T extends Command['type']>(name: T) => fc.constant(name);
/** Resolved by `pick` when the history is played. */
const unresolved = fc.constant('');

const byWeight: [number, fc.Arbitrary<Command>][] = [
  [4, fc.record({ type: type('receipt'), warehouse, lines: linesOf(receiptLine) })],
  [3, fc.record({ type: type('shipment'), warehouse, lines })],
  [3, fc.record({ type: type('transfer'), from: warehouse, to: warehouse, lines })],
  [
    2,
    fc.record({
      type: type('adjustment'),
      warehouse,
      reason,
      lines: linesOf(fc.record({ product, change })),
    }),
  ],
  [
    2,
    fc.record({
      type: type('count'),
      warehouse,
      lines: fc.array(countLine, { minLength: 1, maxLength: 2 }),
    }),
  ],
  [
    4,
    fc.record(
      { type: type('reservation'), warehouse, lines, ttlSeconds },
      { requiredKeys: ['type', 'warehouse', 'lines'] },
    ),
  ],
  ...(['reservation-ship', 'reservation-release'] as const).map(
    (name): [number, fc.Arbitrary<Command>] => [
      4,
      fc.record(
        { type: type(name), reservation: unresolved, lines: heldLines },
        { requiredKeys: ['type', 'reservation'] },
      ),
    ],
  ),
  [2, fc.record({ type: type('reservation-extend'), reservation: unresolved, ttlSeconds })],
  [5, fc.record({ type: type('reversal'), posting: unresolved, reason })],
];

export const command: fc.Arbitrary<Command> = fc.oneof(
  ...byWeight.map(([weight, arbitrary]) => ({ weight, arbitrary })),
);

const intent: fc.Arbitrary<Intent> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({ kind: fc.constant('command'), command, pick: fc.nat(10_000) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.nat(6000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('backorder'), allowed: fc.boolean() }) },
) as fc.Arbitrary<Intent>;

export const history: fc.Arbitrary<Intent[]> = fc.array(intent, { maxLength: 50, size: 'max' });

/** 30 of every product everywhere, so that histories come to more than a lack of stock. */
export const opening: Intent[] = warehouses.map((place) => {
  const all = products.map((code) => ({ product: code, quantity: 30 }));
  return { kind: 'command', pick: 0, command: { type: 'receipt', warehouse: place, lines: all } };
});

/** @returns one of the ids, and one time in 16 an id that does not exist */
export function pickId(ids: readonly string[], pick: number): string {
  const unknown = pick % 16 === 15;
  return (unknown ? undefined : ids[pick % ids.length]) ?? 'none';
}
