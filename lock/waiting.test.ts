import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import type { Claim } from './driver.ts';
import { startRedis } from './fixtures/redis.ts';
import { redisOfFile } from './fixtures/redisOfFile.ts';
import { waitersOf } from './fixtures/waiters.ts';
import {
  createLocks,
  type DriverFactory,
  LockAborted,
  LockLost,
  type Locks,
  LockTimeout,
  memoryDriver,
  redisDriver,
} from './index.ts';

const redis = redisOfFile();

/** As many processes, as Redis sees it, of as many waiters each. */
function parties(prefix: string) {
  return Array.from({ length: 4 }, () =>
    createLocks({ driver: redisDriver(redis.client), prefix }),
  );
}
const waitersEach = 16;

test('64 waiters of 4 processes ask Redis nothing while they wait', async () => {
  const all = parties('silent');
  const [first] = all;
  assert.ok(first);
  const held = await first.acquire(['k'], { leaseMs: 60_000 });
  const waits = all.flatMap((locks) =>
    Array.from({ length: waitersEach }, async () => {
      await (await locks.acquire(['k'], { waitMs: 30_000 })).release();
    }),
  );
  await waitersOf(first, 'k', all.length);
  await redis.client.configResetStat();
  // There is no signal for what does not happen. Polling every 10 ms would ask 3,200 times.
  await sleep(500);
  const asked = Number(
    /cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info('commandstats'))?.[1] ?? 0,
  );
  assert.ok(asked <= all.length, `asked ${asked} times`);
  await held.release();
  await Promise.all(waits);
  await Promise.all(all.map((locks) => locks.close()));
});

test('64 waiters of 4 processes have their turns equally often', async () => {
  const all = parties('fair');
  let left = 64 * 50;
  const turns = await Promise.all(
    all.flatMap((locks) =>
      Array.from({ length: waitersEach }, async () => {
        let mine = 0;
        while (left-- > 0) {
          await (await locks.acquire(['k'], { waitMs: 60_000 })).release();
          mine++;
        }
        return mine;
      }),
    ),
  );
  const [fewest, most] = [Math.min(...turns), Math.max(...turns)];
  assert.ok(fewest / most >= 0.8, `fewest ${fewest}, most ${most}`);
  await Promise.all(all.map((locks) => locks.close()));
});

test('a waiter whose wake-up is lost finds its grant by itself', async () => {
  const deaf: DriverFactory = (context) =>
    redisDriver(redis.client)({ ...context, onGrant: () => {} });
  const locks = createLocks({ driver: deaf, prefix: 'deaf' });
  const other = createLocks({ driver: redisDriver(redis.client), prefix: 'deaf' });
  const held = await other.acquire(['k'], { leaseMs: 60_000 });
  const waiting = locks.acquire(['k'], { leaseMs: 60_000, waitMs: 30_000 });
  await waitersOf(other, 'k', 1);
  const started = performance.now();
  await held.release();
  assert.equal((await other.inspect('k')).mode, 'exclusive', 'it was granted');
  const lease = await waiting;
  // Far below the lease, and with room for a slow machine.
  assert.ok(performance.now() - started < 5_000);
  await lease.release();
  await Promise.all([locks.close(), other.close()]);
});

test('two calls of one owner that wait each believe in no more than the lease they asked for', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'twice' });
  const other = createLocks({ driver: redisDriver(redis.client), prefix: 'twice' });
  const held = await other.acquire(['k'], { leaseMs: 60_000 });
  // The place in the queue is of the first call, and so is the lease of what is granted to it.
  const first = locks.acquire(['k'], { owner: 'me', leaseMs: 1_000, waitMs: 30_000 });
  await waitersOf(other, 'k', 1);
  const second = locks.acquire(['k'], { owner: 'me', leaseMs: 60_000, waitMs: 30_000 });
  // Answered after it, so it waits, too.
  await locks.inspect('k');
  await held.release();
  const lease = await Promise.any([second, first]);
  const { remainingMs } = await other.inspect('k');
  assert.ok(lease.remainingMs() <= remainingMs + 5, `${lease.remainingMs()} of ${remainingMs}`);
  await Promise.all([(await second).release(), (await first).release()]);
  await Promise.all([locks.close(), other.close()]);
});

test('a wait that is over before it queues ends without a warning of the process', async (t) => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'late' });
  const held = await locks.acquire(['k'], { leaseMs: 60_000 });
  const startedAt = performance.now();
  const patient = locks.acquire(['k'], { waitMs: 30_000 });
  const late = assert.rejects(locks.acquire(['k'], { waitMs: 1 }), LockTimeout);
  // Both have asked; the process is held up until the time of one is over.
  while (performance.now() < startedAt + 20);
  await late;
  await held.release();
  await (await patient).release();
  await locks.close();
  assert.deepEqual(warnings, []);
});

test('a wait that is told of its grant while the locks close ends without it', async () => {
  const driver = memoryDriver();
  const locks: Locks = createLocks({
    driver: (context) =>
      driver({
        ...context,
        onGrant(owner, token) {
          context.onGrant(owner, token);
          void locks.close();
        },
      }),
  });
  const other = createLocks({ driver });
  const held = await other.acquire(['k'], { leaseMs: 60_000 });
  const waiting = locks.acquire(['k'], { owner: 'me', leaseMs: 60_000, waitMs: 30_000 });
  await waitersOf(other, 'k', 1);
  const refused = assert.rejects(waiting, LockAborted);
  await held.release();
  await refused;
  await (await other.acquire(['k'], { waitMs: 10_000 })).release();
  await other.close();
});

test('a waiter that listens but asks no more is passed over when it counts as dead', async () => {
  const aliveMs = 100;
  const granted: string[] = [];
  const heard = Promise.withResolvers<void>();
  const make = (client: string) =>
    redisDriver(redis.client)({
      prefix: 'mute',
      client,
      aliveMs,
      onGrant(owner) {
        granted.push(owner);
        heard.resolve();
      },
    });
  const claim = (owner: string): Claim => ({
    keys: ['mute:k'],
    owner,
    mode: 'exclusive',
    leaseMs: 60_000,
  });
  const [mute, live] = [make('mute'), make('live')];
  await Promise.all([mute.listen?.(['mute:k']), live.listen?.(['mute:k'])]);
  await live.acquire(claim('holder'), false);
  await mute.acquire(claim('mute'), true);
  await live.acquire(claim('live'), true);
  // The time must pass after which `mute` counts as dead; nobody is told of that.
  await sleep(1.5 * aliveMs);
  await live.acquire(claim('live'), true);
  await live.release(claim('holder'));
  await heard.promise;
  assert.deepEqual(granted, ['live']);
  await Promise.all([mute.close(), live.close()]);
});

test('a Redis that dies under a routine costs its lease, and no rejection goes unhandled', async (t) => {
  const rejected: unknown[] = [];
  const note = (reason: unknown) => rejected.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const own = await startRedis();
  t.after(() => own.stop());
  const client = createClient({ url: own.url, socket: { reconnectStrategy: 20 } });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.destroy());
  const locks = createLocks({ driver: redisDriver(client), commandTimeoutMs: 50 });
  await (await locks.acquire(['k'])).release();
  const waits: Promise<void>[] = [];
  const run = locks.using(['k'], { leaseMs: 300 }, async (lease) => {
    for (let i = 0; i < 10; i++) waits.push(assert.rejects(locks.acquire(['k'])));
    await waitersOf(locks, 'k', 1);
    await own.stop();
    // Several extensions fail before the lease is over.
    await once(lease.signal, 'abort');
  });
  await assert.rejects(run, LockLost);
  await Promise.all(waits);
  await locks.close();
  await new Promise(setImmediate);
  assert.deepEqual(rejected, []);
});
