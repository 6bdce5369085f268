import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { startProxy } from './fixtures/proxy.ts';
import { startRedis } from './fixtures/redis.ts';
import { redisOfFile } from './fixtures/redisOfFile.ts';
import { waitersOf } from './fixtures/waiters.ts';
import { createLocks, LockLost, LockTimeout, LockUnavailable, redisDriver } from './index.ts';

const redis = redisOfFile();

test('keys with a hash tag become Redis keys under the prefix and vanish on release', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client) });
  const lease = await locks.acquire(['{demo}:pair:B', '{demo}:pair:A', '{demo}:pair:B']);
  assert.deepEqual(lease.keys, ['{demo}:pair:A', '{demo}:pair:B']);
  assert.equal(await redis.client.exists('lock:{demo}:pair:A'), 1);
  assert.ok(lease.remainingMs() > 9_000);
  lease.assertHeld();
  await lease.release();
  assert.equal(await redis.client.exists('lock:{demo}:pair:A'), 0);
});

test('a refused acquire keeps none of its keys', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'refused' });
  await using _b = await locks.acquire(['b']);
  await assert.rejects(locks.acquire(['a', 'b', 'c'], { waitMs: 0 }), LockTimeout);
  await (await locks.acquire(['a', 'c'], { waitMs: 0 })).release();
});

test('4,000 keys are taken and given back with one command each', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'many' });
  const keys = Array.from({ length: 4_000 }, (_, i) => `{t}:${i}`);
  await (await locks.acquire(keys)).release();
  await redis.client.configResetStat();
  await (await locks.acquire(keys)).release();
  const stats = await redis.client.info('commandstats');
  assert.match(stats, /cmdstat_evalsha:calls=2,/);
});

test('who waits for one key costs those who take others nothing', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'aside' });
  const held = await locks.acquire(['hot']);
  const waiting = locks.acquire(['hot'], { waitMs: 30_000 });
  await waitersOf(locks, 'hot', 1);
  await redis.client.configResetStat();
  const lease = await locks.acquire(Array.from({ length: 50 }, (_, i) => `cold-${i}`));
  await lease.release();
  const stats = await redis.client.info('commandstats');
  assert.match(stats, /cmdstat_psetex:calls=50,/);
  // Which would look at each key and at each queue.
  assert.doesNotMatch(stats, /cmdstat_(type|zrange):/);
  await held.release();
  await (await waiting).release();
  await locks.close();
});

test('a Redis that stops answering costs one timeout, and is used again at once', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), commandTimeoutMs: 400 });
  await (await locks.acquire(['paused'])).release();
  redis.server.process.kill('SIGSTOP');
  const started = performance.now();
  try {
    await assert.rejects(locks.acquire(['paused']), LockUnavailable);
    assert.ok(performance.now() - started < 2_000);
    const again = performance.now();
    await assert.rejects(locks.acquire(['paused']), LockUnavailable);
    assert.ok(performance.now() - again < 100, 'the second caller need not wait');
  } finally {
    redis.server.process.kill('SIGCONT');
  }
  const lease = await untilAvailable(() => locks.acquire(['paused'], { waitMs: 2_000 }));
  // What the server took while nobody listened was given back, long before its lease ended.
  assert.ok(performance.now() - started < 8_000);
  await lease.release();
});

test('a client that is not connected gives LockUnavailable and queues nothing', async () => {
  const lone = createClient({ url: redis.server.url });
  const locks = createLocks({ driver: redisDriver(lone) });
  await assert.rejects(locks.acquire(['k']), LockUnavailable);
});

test('a process that was held up reads the reply before it gives up', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), commandTimeoutMs: 50 });
  await (await locks.acquire(['busy'])).release();
  const acquiring = locks.acquire(['busy'], { leaseMs: 5_000 });
  await new Promise(setImmediate);
  const until = performance.now() + 150;
  while (performance.now() < until);
  await (await acquiring).release();
});

test('a lease that is over when the reply arrives is given back and reported', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'over' });
  await (await locks.acquire(['k'])).release();
  const acquiring = locks.acquire(['k'], { leaseMs: 40 });
  await new Promise(setImmediate);
  const until = performance.now() + 60;
  while (performance.now() < until);
  await assert.rejects(acquiring, LockLost);
});

test('an acquire whose reply is lost gives its keys back when that is noticed', async (t) => {
  const proxy = await startProxy(redis.server.port);
  t.after(() => proxy.stop());
  const lone = createClient({ url: `redis://127.0.0.1:${proxy.port}` });
  lone.on('error', () => {});
  await lone.connect();
  t.after(() => lone.destroy());
  const locks = createLocks({ driver: redisDriver(lone), prefix: 'reply', commandTimeoutMs: 300 });
  const direct = createLocks({ driver: redisDriver(redis.client), prefix: 'reply' });
  await (await locks.acquire(['k'])).release();
  proxy.swallowReplies(true);
  await assert.rejects(locks.acquire(['k'], { leaseMs: 60_000 }), LockUnavailable);
  assert.equal((await direct.inspect('k')).mode, 'exclusive', 'Redis did take it');
  proxy.swallowReplies(false);
  const ready = new Promise((resolve) => lone.once('ready', resolve));
  proxy.cut();
  await ready;
  await (await direct.acquire(['k'], { waitMs: 5_000 })).release();
});

test('100,000 acquires and releases over random keys leave DBSIZE as it was', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'growth' });
  await (await locks.acquire(['first'])).release();
  const before = await redis.client.dbSize();
  let left = 100_000;
  const task = async () => {
    while (left-- > 0) await (await locks.acquire([`key-${Math.random()}`])).release();
  };
  await Promise.all(Array.from({ length: 100 }, task));
  assert.equal(await redis.client.dbSize(), before);
});

test('waiting, timing out and dying leave nothing in Redis', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'clean' });
  await (await locks.acquire(['first'])).release();
  const before = await redis.client.dbSize();
  const held = await locks.acquire(['a', 'b']);
  const late = locks.acquire(['a', 'b'], { waitMs: 20 });
  const shared = locks.acquire(['b'], { waitMs: 20, mode: 'shared' });
  await Promise.all([assert.rejects(late, LockTimeout), assert.rejects(shared, LockTimeout)]);
  await held.release();
  await waitersOf(locks, 'a', 0);
  await waitersOf(locks, 'b', 0);
  assert.equal(await redis.client.dbSize(), before);
  await locks.close();
});

test('after Redis lost its data, tokens go on rising', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'flushed' });
  const first = await locks.acquire(['k']);
  await redis.client.flushAll();
  const second = await locks.acquire(['k']);
  assert.ok(second.fencingToken > first.fencingToken);
  await assert.rejects(first.extend(), LockLost);
  await second.release();
});

test('tokens go on rising when the clock of the server is set back', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'clock' });
  await (await locks.acquire(['k'])).release();
  const ahead = (Date.now() + 3_600_000) * 1_000;
  await redis.client.set('clock:~:fence', `${ahead}`);
  const lease = await locks.acquire(['k']);
  assert.ok(lease.fencingToken > BigInt(ahead) * 64n);
  await lease.release();
});

for (const library of ['redis', 'ioredis']) {
  test(`a process ends with its client of ${library}, although the locks were not closed`, () =>
    endsWithItsClient(library));
}

async function endsWithItsClient(library: string): Promise<void> {
  const own = await startRedis();
  const file = fileURLToPath(new URL('./fixtures/leaver.ts', import.meta.url));
  const child = spawn(process.execPath, [file, `${own.port}`, library], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  await own.stop();
  child.stdin.end('go');
  assert.deepEqual(await ended, [0, null]);
}

test('a release that is not awaited never rejects, whatever becomes of Redis', async () => {
  const lone = createClient({ url: redis.server.url, socket: { reconnectStrategy: false } });
  lone.on('error', () => {});
  await lone.connect();
  const locks = createLocks({ driver: redisDriver(lone), commandTimeoutMs: 50 });
  const lease = await locks.acquire(['gone'], { leaseMs: 100 });
  lone.destroy();
  await lease.release();
  await lease[Symbol.asyncDispose]();
});

test('settings and keys out of their bounds are refused before anything is sent', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client) });
  for (const leaseMs of [0, 19, 1.5, 86_400_001, Number.NaN]) {
    await assert.rejects(locks.acquire(['k'], { leaseMs }), RangeError);
  }
  for (const waitMs of [-1, Number.NaN]) {
    await assert.rejects(locks.acquire(['k'], { waitMs }), RangeError);
  }
  for (const holdMaxMs of [-1, Number.NaN]) {
    await assert.rejects(
      locks.using(['k'], { holdMaxMs }, () => {}),
      RangeError,
    );
  }
  for (const keys of [[], [''], ['~x'], ['x'.repeat(513)]]) {
    await assert.rejects(locks.acquire(keys), TypeError);
  }
  await assert.rejects(locks.acquire(Array.from({ length: 4_001 }, (_, i) => `${i}`)), TypeError);
  await assert.rejects(locks.acquire(['k'], { owner: 'a b' }), TypeError);
  await assert.rejects(locks.forceRelease('k', { reason: '' }), TypeError);
  for (const prefix of ['', 'a b', '{a}', '~']) {
    assert.throws(() => createLocks({ driver: redisDriver(redis.client), prefix }), TypeError);
  }
});

/** Repeats a call that may meet the breaker until it comes through. */
async function untilAvailable<T>(call: () => Promise<T>): Promise<T> {
  const patience = performance.now() + 10_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof LockUnavailable) || performance.now() > patience) throw error;
      await new Promise(setImmediate);
    }
  }
}
