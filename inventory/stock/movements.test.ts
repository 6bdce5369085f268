import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, QuantityLine } from './commands.ts';
import {
  exampleContext,
  exampleStock,
  post,
  quantitiesAt,
  refusalOf,
  summaryOf,
} from './examples.ts';
import { quantityMax } from './quantity.ts';

const receipt = (lines: (QuantityLine & { unitCost?: string })[]): Command => {
  return { type: 'receipt', warehouse: 'W1', lines };
};
const shipment = (...lines: QuantityLine[]): Command => {
  return { type: 'shipment', warehouse: 'W1', lines };
};
const transfer = (...lines: QuantityLine[]): Command => {
  return { type: 'transfer', from: 'W1', to: 'W2', lines };
};
const adjustment = (...lines: { product: string; change: number }[]): Command => {
  return { type: 'adjustment', warehouse: 'W1', reason: 'damaged', lines };
};
const of = (product: string, quantity: number): QuantityLine => ({ product, quantity });

test('a receipt raises what is on hand', () => {
  const stock = exampleStock({ 'W1 A': [10, 2] });
  const { posting } = post(stock, receipt([of('A', 5)]), exampleContext());
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A 5/0 → 15/2']);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [15, 2]);
});

test('a receipt makes one movement per product and unit cost', () => {
  const stock = exampleStock();
  const lines = [
    { ...of('A', 5), unitCost: '2.50' },
    of('B', 1),
    { ...of('A', 3), unitCost: '2.75' },
    { ...of('A', 2), unitCost: '2.50' },
    of('B', 4),
  ];
  const { movements } = post(stock, receipt(lines), exampleContext()).posting;
  assert.deepEqual(movements.map(summaryOf), [
    'W1 A 7/0 → 7/0',
    'W1 B 5/0 → 5/0',
    'W1 A 3/0 → 10/0',
  ]);
  assert.deepEqual(
    movements.map(({ unitCost, sequence }) => [unitCost, sequence]),
    [
      ['2.50', 1],
      [null, 1],
      ['2.75', 2],
    ],
  );
});

test('a shipment takes only what is available', () => {
  const stock = exampleStock({ 'W1 A': [10, 4] });
  assert.deepEqual(refusalOf(stock, shipment(of('A', 7))), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 7, available: 6 }],
  });
  post(stock, shipment(of('A', 6)), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [4, 4]);
});

test('a product on two lines is checked by its sum', () => {
  const stock = exampleStock({ 'W1 A': [10], 'W1 B': [1] });
  assert.deepEqual(refusalOf(stock, shipment(of('A', 6), of('B', 1), of('A', 6))), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 12, available: 10 }],
  });
});

test('every short line is reported, and no line of the command happens', () => {
  const stock = exampleStock({ 'W1 A': [1], 'W1 B': [50], 'W1 C': [3, 3] });
  assert.deepEqual(refusalOf(stock, shipment(of('C', 1), of('B', 5), of('A', 2))), {
    code: 'insufficient-stock',
    lines: [
      { warehouse: 'W1', product: 'C', requested: 1, available: 0 },
      { warehouse: 'W1', product: 'A', requested: 2, available: 1 },
    ],
  });
});

test('a product that allows backorder is shipped below zero', () => {
  const stock = exampleStock({ 'W1 Z': [2, 1] });
  post(stock, shipment(of('Z', 5)), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 Z'), [-3, 1]);
});

test('a level left below zero when backorder ended is received into, not shipped from', () => {
  const stock = exampleStock({ 'W1 A': [-10, 4] });
  post(stock, receipt([of('A', 3)]), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [-7, 4]);
  assert.deepEqual(refusalOf(stock, shipment(of('A', 1))), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 1, available: -11 }],
  });
});

test('a transfer goes out of one warehouse and into the other, product by product', () => {
  const stock = exampleStock({ 'W1 A': [10], 'W1 B': [3], 'W2 A': [1] });
  const command = transfer(of('A', 4), of('B', 3), of('A', 2));
  const { posting } = post(stock, command, exampleContext());
  assert.deepEqual(posting.movements.map(summaryOf), [
    'W1 A -6/0 → 4/0',
    'W2 A 6/0 → 7/0',
    'W1 B -3/0 → 0/0',
    'W2 B 3/0 → 3/0',
  ]);
});

test('a transfer is short only where it takes', () => {
  const stock = exampleStock({ 'W1 A': [5, 1], 'W2 A': [-9] });
  assert.deepEqual(refusalOf(stock, transfer(of('A', 3), of('A', 2))), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 5, available: 4 }],
  });
  post(stock, transfer(of('A', 4)), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W2 A'), [-5, 0]);
});

test('a transfer into the warehouse it comes from is no transfer', () => {
  const command: Command = { type: 'transfer', from: 'W1', to: 'W1', lines: [of('A', 1)] };
  const refusal = refusalOf(exampleStock({ 'W1 A': [5] }), command);
  assert.deepEqual(refusal, {
    code: 'validation-failed',
    errors: [{ path: '$.to', detail: 'A transfer needs two different warehouses' }],
  });
});

test('an adjustment goes up and down and keeps its reason', () => {
  const stock = exampleStock({ 'W1 A': [10, 2], 'W1 B': [1] });
  const command = adjustment({ product: 'A', change: -8 }, { product: 'B', change: 4 });
  const { posting } = post(stock, command, exampleContext());
  assert.equal(posting.reason, 'damaged');
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A -8/0 → 2/2', 'W1 B 4/0 → 5/0']);
  assert.deepEqual(refusalOf(stock, adjustment({ product: 'A', change: -1 })), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 1, available: 0 }],
  });
});

test('adjustments of one product that cancel out are one movement of zero', () => {
  const stock = exampleStock({ 'W1 A': [1] });
  const command = adjustment({ product: 'A', change: -3 }, { product: 'A', change: 3 });
  const { movements } = post(stock, command, exampleContext()).posting;
  assert.deepEqual(movements.map(summaryOf), ['W1 A 0/0 → 1/0']);
  assert.ok(Object.is(movements[0]?.onHandChange, 0));
});

test('a level holds the largest quantity and not one unit more', () => {
  const stock = exampleStock({ 'W1 A': [quantityMax - 5] });
  const overflow = { code: 'quantity-overflow', warehouse: 'W1', product: 'A' };
  assert.deepEqual(refusalOf(stock, receipt([of('A', 6)])), overflow);
  post(stock, receipt([of('A', 5)]), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [quantityMax, 0]);
  assert.deepEqual(refusalOf(stock, receipt([of('A', 1)])), overflow);
});

test('lines whose sum is beyond a quantity overflow, together or apart by cost', () => {
  const stock = exampleStock({ 'W1 Z': [-quantityMax], 'W1 A': [1] });
  const overflow = { code: 'quantity-overflow', warehouse: 'W1', product: 'Z' };
  assert.deepEqual(refusalOf(stock, receipt([of('Z', quantityMax), of('Z', 1)])), overflow);
  const costly = { ...of('Z', 1), unitCost: '9' };
  assert.deepEqual(refusalOf(stock, receipt([of('Z', quantityMax), costly])), overflow);
  assert.deepEqual(refusalOf(stock, shipment(of('A', quantityMax), of('A', 1))), {
    code: 'quantity-overflow',
    warehouse: 'W1',
    product: 'A',
  });
});

test('a backorder stops at the largest quantity below zero, reserved units included', () => {
  const stock = exampleStock({ 'W1 Z': [-quantityMax + 5, 0], 'W2 Z': [-quantityMax + 5, 5] });
  const overflow = { code: 'quantity-overflow', warehouse: 'W1', product: 'Z' };
  assert.deepEqual(refusalOf(stock, shipment(of('Z', 6))), overflow);
  post(stock, shipment(of('Z', 5)), exampleContext());
  const lines = [of('Z', 1)];
  const unavailable: Command = { type: 'shipment', warehouse: 'W2', lines };
  assert.deepEqual(refusalOf(stock, unavailable), { ...overflow, warehouse: 'W2' });
});

test('a transfer overflows where it arrives, and names the first level', () => {
  const full: [number] = [quantityMax];
  const stock = exampleStock({ 'W1 A': [5], 'W1 B': [5], 'W2 A': full, 'W2 B': full });
  const refusal = refusalOf(stock, transfer(of('A', 1), of('B', 1)));
  assert.deepEqual(refusal, { code: 'quantity-overflow', warehouse: 'W2', product: 'A' });
});

test('too little stock is reported before too large a quantity', () => {
  const stock = exampleStock({ 'W1 A': [quantityMax], 'W1 B': [1] });
  const command = adjustment({ product: 'A', change: 1 }, { product: 'B', change: -2 });
  assert.equal(refusalOf(stock, command).code, 'insufficient-stock');
});
