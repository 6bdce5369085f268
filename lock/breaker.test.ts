import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimedOut } from './bounded.ts';
import { Breaker } from './breaker.ts';

test('an answer in time ends the stall, although another call is never answered', async () => {
  const breaker = new Breaker(40);
  await assert.rejects(
    breaker.call(() => new Promise(() => {})),
    TimedOut,
  );
  const patience = performance.now() + 5_000;
  // The first that goes through is the probe.
  for (;;) {
    const answered = await breaker.call(async () => true).catch(() => false);
    if (answered) break;
    assert.ok(performance.now() < patience);
    await new Promise(setImmediate);
  }
  for (let i = 0; i < 3; i++) assert.equal(await breaker.call(async () => i), i);
});
