import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { add, negate, quantityMax, subtract, sumExactly } from './quantity.ts';

const quantity = fc.maxSafeInteger();

test('a sum is exact or absent, as big integers tell', () => {
  fc.assert(
    fc.property(quantity, quantity, (a, b) => {
      const exact = BigInt(a) + BigInt(b);
      const sum = add(a, b);
      if (exact >= -BigInt(quantityMax) && exact <= BigInt(quantityMax)) {
        assert.equal(BigInt(sum), exact);
      } else {
        assert.ok(Number.isNaN(sum));
      }
    }),
  );
});

test('a sum meets the largest quantity and does not pass it', () => {
  assert.equal(add(quantityMax - 1, 1), quantityMax);
  assert.ok(Number.isNaN(add(quantityMax, 1)));
  assert.equal(add(-quantityMax, quantityMax), 0);
  assert.ok(Number.isNaN(add(-quantityMax, -1)));
  assert.equal(subtract(-1, quantityMax - 1), -quantityMax);
  assert.ok(Number.isNaN(subtract(-2, quantityMax)));
});

test('an absent sum stays absent', () => {
  assert.ok(Number.isNaN(add(Number.NaN, -5)));
  assert.ok(Number.isNaN(subtract(3, Number.NaN)));
});

test('the opposite of zero is zero, not minus zero', () => {
  assert.ok(Object.is(negate(0), 0));
  assert.equal(negate(7), -7);
});

test('terms whose running sum leaves the range and comes back add up exactly', () => {
  assert.equal(sumExactly([quantityMax, 5, -10]), quantityMax - 5);
  assert.equal(sumExactly([-quantityMax, -5, 5]), -quantityMax);
  assert.ok(Number.isNaN(sumExactly([quantityMax, quantityMax, -1])));
  assert.ok(Number.isNaN(sumExactly([-quantityMax, -1])));
});
