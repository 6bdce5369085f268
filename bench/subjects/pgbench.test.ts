import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastSeconds } from './pgbench.ts';

test('only the last seconds of pgbench count for its rate, all of them for its CPU', () => {
  const warmUp = Array.from({ length: 50 }, (_, at) => ({ end: 100 + at / 50, latency: 9_000 }));
  const counted = Array.from({ length: 100 }, (_, at) => ({
    end: 101.01 + at / 50,
    latency: at + 1,
  }));
  assert.deepEqual(lastSeconds([...warmUp, ...counted], 2), {
    seconds: 2,
    answers: 100,
    metered: 150,
    p50: 51,
    p99: 100,
    p999: 100,
  });
});

test('a run of pgbench without a transaction has a rate of 0', () => {
  assert.equal(lastSeconds([], 2).answers, 0);
});
