import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, CountLine } from './commands.ts';
import { apply, expire } from './decide.ts';
import {
  exampleContext,
  exampleStock,
  post,
  quantitiesAt,
  refusalOf,
  summaryOf,
} from './examples.ts';
import { quantityMax } from './quantity.ts';
import type { Stock } from './stock.ts';

const count = (...lines: CountLine[]): Command => ({ type: 'count', warehouse: 'W1', lines });

test('a count sets what is on hand, up, down or as it was', () => {
  const stock = exampleStock({ 'W1 A': [10, 2], 'W1 B': [3], 'W1 C': [4] });
  const command = count(
    { product: 'A', counted: 2 },
    { product: 'B', counted: 9 },
    { product: 'C', counted: 4 },
  );
  const { posting } = post(stock, command, exampleContext());
  assert.deepEqual(posting.movements.map(summaryOf), [
    'W1 A -8/0 → 2/2',
    'W1 B 6/0 → 9/0',
    'W1 C 0/0 → 4/0',
  ]);
});

test('a count below what is reserved is refused unless backorder is allowed', () => {
  const stock = exampleStock({ 'W1 A': [10, 4], 'W1 Z': [10, 4] });
  assert.deepEqual(refusalOf(stock, count({ product: 'A', counted: 3 })), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 7, available: 6 }],
  });
  post(stock, count({ product: 'Z', counted: 3 }), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 Z'), [3, 4]);
});

test('a count that raises a level left below its reservations is taken', () => {
  const stock = exampleStock({ 'W1 A': [-2, 5] });
  post(stock, count({ product: 'A', counted: 3 }), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [3, 5]);
});

test('a count whose expectation holds is taken', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const line = { product: 'A', counted: 7, expectedOnHand: 10, expectedSequence: 0 };
  post(stock, count(line), exampleContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [7, 0]);
});

for (const expectedSequence of [1, 2]) {
  test(`a count that expects sequence ${expectedSequence} holds, where an expiry of the same batch made it 2`, () => {
    const stock = exampleStock({ 'W1 A': [10, 4] });
    post(stock, count({ product: 'A', counted: 10 }), exampleContext());
    lapse(stock, 'R');
    post(stock, count({ product: 'A', counted: 7, expectedSequence }), exampleContext());
    assert.deepEqual(quantitiesAt(stock, 'W1 A'), [7, 2]);
  });
}

test('a count that expects what was before an expiry and a command is refused', () => {
  const stock = exampleStock({ 'W1 A': [10, 4] });
  lapse(stock, 'R');
  lapse(stock, 'S');
  post(stock, count({ product: 'A', counted: 10, expectedSequence: 0 }), exampleContext());
  for (const expectedSequence of [0, 1, 2]) {
    const command = count({ product: 'A', counted: 7, expectedSequence });
    assert.equal(refusalOf(stock, command).code, 'stock-changed');
  }
});

/** Gives back 2 of A, whose reservation is over. */
function lapse(stock: Stock, reservation: string): void {
  stock.overdue.push({ reservation, warehouse: 'W1', product: 'A', quantity: 2 });
  for (const outcome of expire(stock, exampleContext())) apply(stock, outcome);
}

test('a count whose expectation fails answers every level that changed', () => {
  const stock = exampleStock({ 'W1 A': [10, 4], 'W1 B': [3] });
  post(stock, count({ product: 'B', counted: 3 }), exampleContext());
  const command = count(
    { product: 'A', counted: 1, expectedOnHand: 9 },
    { product: 'B', counted: 1, expectedSequence: 0 },
    { product: 'C', counted: 1, expectedOnHand: 0 },
  );
  const found = { warehouse: 'W1', product: 'A', onHand: 10, reserved: 4 };
  assert.deepEqual(refusalOf(stock, command), {
    code: 'stock-changed',
    levels: [
      { ...found, available: 6, sequence: 0 },
      { warehouse: 'W1', product: 'B', onHand: 3, reserved: 0, available: 3, sequence: 1 },
    ],
  });
});

test('a product counted twice contradicts itself', () => {
  const refusal = refusalOf(
    exampleStock(),
    count({ product: 'A', counted: 1 }, { product: 'B', counted: 1 }, { product: 'A', counted: 2 }),
  );
  assert.deepEqual(refusal, {
    code: 'validation-failed',
    errors: [{ path: '$.lines[2].product', detail: 'A is counted twice' }],
  });
});

test('a count whose difference is beyond a quantity overflows', () => {
  const stock = exampleStock({ 'W1 Z': [-1] });
  const refusal = refusalOf(stock, count({ product: 'Z', counted: quantityMax }));
  assert.deepEqual(refusal, { code: 'quantity-overflow', warehouse: 'W1', product: 'Z' });
});
