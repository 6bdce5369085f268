import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slots } from './slots.ts';

test('no more than its number runs at once', async () => {
  const slots = new Slots(3);
  let running = 0;
  let most = 0;
  for (let count = 0; count < 20; count += 1) {
    await slots.run(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    });
  }
  await slots.drained();
  assert.deepEqual([most, running], [3, 0]);
});

test('after a failure nothing starts, what runs is awaited, and the failure is told', async () => {
  const slots = new Slots(2);
  const failed = Promise.withResolvers<void>();
  let finished = false;
  await slots.run(async () => {
    await failed.promise;
    await new Promise(setImmediate);
    finished = true;
  });
  await slots.run(async () => {
    failed.resolve();
    throw new Error('gone');
  });
  await assert.rejects(
    slots.run(async () => assert.fail('it must not start')),
    /gone/,
  );
  await slots.settled();
  assert.ok(finished);
  await assert.rejects(slots.drained(), /gone/);
});
