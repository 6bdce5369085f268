import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitersOf } from './fixtures/waiters.ts';
import { createLocks, LockAborted, memoryDriver } from './index.ts';
import { Turnstile } from './turnstile.ts';

test('a key that reads like a list of keys does not queue with that list', async () => {
  const driver = memoryDriver();
  const [one, two] = [createLocks({ driver }), createLocks({ driver })];
  const held = await one.acquire(['a']);
  const pair = two.acquire(['a', 'b'], { waitMs: 20_000 });
  await waitersOf(one, 'a', 1);
  const name = JSON.stringify(['a', 'b']);
  const single = await two.acquire([name], { waitMs: 500 });
  assert.equal((await one.inspect(name)).mode, 'exclusive');
  await held.release();
  await Promise.all([single.release(), (await pair).release()]);
});

test('a grant taken away by force is not handed on when a later one has come', async () => {
  const driver = memoryDriver();
  const [one, two] = [createLocks({ driver }), createLocks({ driver })];
  const before = await one.acquire(['k']);
  const waits = [0, 1, 2].map(() => one.acquire(['k'], { leaseMs: 60_000, waitMs: 20_000 }));
  await waitersOf(two, 'k', 1);
  // The row lasts 50 ms from here on; all that follows takes some microtasks.
  await before.release();
  const first = await waits[0];
  await waitersOf(two, 'k', 1);
  await two.forceRelease('k', { reason: 'test' });
  const second = await waits[1];
  await first?.release();
  await new Promise(setImmediate);
  assert.equal((await two.inspect('k')).holders.length, 1);
  let third = false;
  void waits[2]?.then(() => {
    third = true;
  });
  await new Promise(setImmediate);
  assert.equal(third, false, 'two hold the key');
  await second?.release();
  const last = await waits[2];
  assert.ok(last && second && last.fencingToken > second.fencingToken);
  await last.release();
});

test('a turnstile takes more visitors than a call has room for arguments', async () => {
  const many = 200_000;
  const first = Promise.withResolvers<undefined>();
  const idle = Promise.withResolvers<void>();
  let asked = 0;
  const turnstile = new Turnstile({
    obtain: async () => {
      if (++asked === 1) return first.promise;
      throw new LockAborted('enough', ['k']);
    },
    giveBack: async () => {},
    idle: () => idle.resolve(),
  });
  let refused = 0;
  const visitor = {
    deadline: performance.now() + 60_000,
    admit: () => {},
    refuse: () => refused++,
    arm: () => {},
  };
  for (let i = 0; i < many; i++) turnstile.enter(visitor);
  first.resolve(undefined);
  await idle.promise;
  assert.equal(refused, many);
});
