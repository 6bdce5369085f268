import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ratioOf, spreadOf } from './statistics.ts';

test('a spread is the median, the least and the most', () => {
  assert.deepEqual(spreadOf([5, 1, 3]), { median: 3, min: 1, max: 5 });
  assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

test('a ratio is taken round by round, so that a slow round does not weigh twice', () => {
  assert.deepEqual(ratioOf([10, 1, 10], [20, 2, 40]), { median: 0.5, min: 0.25, max: 0.5 });
});

test('a ratio of something that was not measured is undefined', () => {
  assert.equal(ratioOf(undefined, [1]), undefined);
  assert.equal(ratioOf([1], []), undefined);
});
