import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentilesOf } from './waits.ts';

const times = (count: number, ms: number) => Array.from({ length: count }, () => ms);

test('a stall stands for the waits that would have begun during it', () => {
  // Gil Tene's example: 100 s of 1 ms every 10 ms, then nothing for 100 s.
  const waits = { ended: [...times(10_000, 1), 100_000], weight: 1, open: [] };
  const { p50, p99, corrected } = percentilesOf([waits], 10);
  assert.equal(p50, 1);
  assert.equal(p99, 1);
  // Half of all waits are 1 ms, the rest 10 ms to 100 s: the 99th of a hundred is the 98th of it.
  assert.ok(Math.abs(corrected - 98_000) < 100, `${corrected}`);
});

test('a waiter that never had a turn shows in the corrected percentile only', () => {
  const served = { ended: times(990, 1), weight: 1, open: [] };
  const starved = { ended: [], weight: 1, open: times(3, 3_000) };
  const { p99, corrected } = percentilesOf([served, starved], 10);
  assert.equal(p99, 1);
  assert.ok(corrected > 2_000, `${corrected}`);
});

test('without long waits the corrected percentile is the plain one', () => {
  const even = { ended: Array.from({ length: 1_000 }, (_, at) => at / 100), weight: 1, open: [] };
  const { p50, p99, corrected } = percentilesOf([even], 10);
  assert.deepEqual([p50, p99, corrected], [5, 9.9, 9.9]);
});

test('a sample counts for the waits it stands for', () => {
  const many = { ended: times(10, 1), weight: 100, open: [] };
  const few = { ended: times(20, 5), weight: 1, open: [] };
  const { p50, p99 } = percentilesOf([many, few], 10);
  assert.deepEqual([p50, p99], [1, 5]);
  assert.equal(percentilesOf([{ ...many, weight: 1 }, few], 10).p50, 5);
});
