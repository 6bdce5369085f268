import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { productCodeOf, stockCodeOf } from './productCode.ts';

test('a stock code of legal characters is its own product code, in its own case', () => {
  for (const code of ['85123A', '85123a', 'gift_0001_20', 'a-b.c']) {
    assert.equal(productCodeOf(code), code);
  }
});

test('other characters become bytes in hex behind a colon', () => {
  assert.equal(productCodeOf('BANK CHARGES'), 'BANK:20CHARGES');
  assert.equal(productCodeOf('a:20b'), 'a:3A20b');
  assert.equal(productCodeOf('é'), ':C3:A9');
});

test('every stock code has a legal product code that gives it back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (code) => {
      const product = productCodeOf(code);
      assert.match(product, /^[A-Za-z0-9._:-]+$/);
      assert.equal(stockCodeOf(product), code);
    }),
  );
});
