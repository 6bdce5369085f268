import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises';
import { Deadlines, RedisTimeout } from './deadlines.ts';

const timeoutMs = 1_000;

/** @returns how long it took to fail, in milliseconds */
async function lateAfter(deadlines: Deadlines): Promise<number> {
  const before = performance.now();
  await assert.rejects(deadlines.bound(new Promise(() => {})), RedisTimeout);
  return performance.now() - before;
}

test('a call is late after its own time, whatever began before it', async () => {
  const deadlines = new Deadlines(timeoutMs);
  const first = lateAfter(deadlines);
  // Time must pass between the two: each has a time-out of its own.
  await setTimeout(timeoutMs / 20);
  const second = lateAfter(deadlines);
  await deadlines.bound(Promise.resolve());
  for (const tookMs of await Promise.all([first, second])) {
    assert.ok(tookMs >= timeoutMs && tookMs < 1.6 * timeoutMs, `after ${tookMs} ms`);
  }
  const third = await lateAfter(deadlines);
  assert.ok(third >= timeoutMs && third < 1.6 * timeoutMs, `after ${third} ms`);
});

test('it is drained once the last call has ended', async () => {
  const deadlines = new Deadlines(timeoutMs);
  await deadlines.drained();
  const call = Promise.withResolvers<string>();
  const bound = deadlines.bound(call.promise);
  let isDrained = false;
  const drained = deadlines.drained().then(() => {
    isDrained = true;
  });
  await nextTurn();
  assert.equal(isDrained, false);
  call.resolve('answer');
  assert.equal(await bound, 'answer');
  await drained;
});
