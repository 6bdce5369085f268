import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimOf } from '../testing/claim-store-suite.ts';
import { DoubtfulClaims } from './doubtful-claims.ts';

test('a doubtful claim is given back once', () => {
  const doubtful = new DoubtfulClaims();
  const claim = claimOf('k');
  doubtful.add(claim, 10);
  assert.equal(doubtful.take('other', 'k'), undefined);
  assert.equal(doubtful.take('tenant', 'k'), claim);
  assert.equal(doubtful.take('tenant', 'k'), undefined);
});

test('a doubtful claim whose lease is over is forgotten, whichever key is claimed next', () => {
  let now = 0;
  const doubtful = new DoubtfulClaims(() => now);
  doubtful.add(claimOf('one'), 10);
  now = 5;
  doubtful.add(claimOf('two'), 10);
  now = 9;
  doubtful.take('tenant', 'other');
  assert.equal(doubtful.size, 2);
  now = 10;
  doubtful.take('tenant', 'other');
  assert.equal(doubtful.size, 1);
  now = 15;
  assert.equal(doubtful.take('tenant', 'two'), undefined);
});

test('a claim that is doubtful again counts from then', () => {
  let now = 0;
  const doubtful = new DoubtfulClaims(() => now);
  for (const at of [0, 8]) {
    now = at;
    doubtful.add(claimOf('again'), 10);
    doubtful.add(claimOf(`after ${at}`), 10);
  }
  now = 17;
  doubtful.take('tenant', 'other');
  assert.equal(doubtful.size, 2);
  assert.notEqual(doubtful.take('tenant', 'again'), undefined);
});

test('the oldest doubtful claims go when there are too many', () => {
  const doubtful = new DoubtfulClaims();
  for (let i = 0; i <= 10_000; i++) doubtful.add(claimOf(`key-${i}`), 60_000);
  assert.equal(doubtful.size, 10_000);
  assert.equal(doubtful.take('tenant', 'key-0'), undefined);
  assert.notEqual(doubtful.take('tenant', 'key-1'), undefined);
});
