import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { type RedisServer, startRedis } from './fixtures/redis.ts';
import { createLocks, LockTimeout, LockUnavailable, redisDriver } from './index.ts';

let server: RedisServer;
let client: ReturnType<typeof createClient>;

before(async () => {
  server = await startRedis();
  client = createClient({ url: server.url });
  await client.connect();
});

after(async () => {
  client.destroy();
  await server.stop();
});

test('keys with a hash tag become Redis keys under the prefix and vanish on release', async () => {
  const locks = createLocks({ driver: redisDriver(client) });
  const lease = await locks.acquire(['{demo}:pair:B', '{demo}:pair:A', '{demo}:pair:B']);
  assert.deepEqual(lease.keys, ['{demo}:pair:A', '{demo}:pair:B']);
  assert.equal(await client.exists('lock:{demo}:pair:A'), 1);
  assert.ok(lease.remainingMs() > 9_000);
  lease.assertHeld();
  await lease.release();
  assert.equal(await client.exists('lock:{demo}:pair:A'), 0);
});

test('a refused acquire keeps none of its keys', async () => {
  const locks = createLocks({ driver: redisDriver(client), prefix: 'refused' });
  await using _b = await locks.acquire(['b']);
  await assert.rejects(locks.acquire(['a', 'b', 'c'], { waitMs: 0 }), LockTimeout);
  await (await locks.acquire(['a', 'c'], { waitMs: 0 })).release();
});

test('4,000 keys are taken and given back with one command each', async () => {
  const locks = createLocks({ driver: redisDriver(client), prefix: 'many' });
  const keys = Array.from({ length: 4_000 }, (_, i) => `{t}:${i}`);
  await (await locks.acquire(keys)).release();
  await client.configResetStat();
  await (await locks.acquire(keys)).release();
  const stats = await client.info('commandstats');
  assert.match(stats, /cmdstat_evalsha:calls=2,/);
});

test('a Redis that stops answering gives LockUnavailable within the command timeout', async () => {
  const locks = createLocks({ driver: redisDriver(client), commandTimeoutMs: 100 });
  await (await locks.acquire(['paused'])).release();
  server.process.kill('SIGSTOP');
  const started = performance.now();
  try {
    await assert.rejects(locks.acquire(['paused']), LockUnavailable);
    assert.ok(performance.now() - started < 1_000);
  } finally {
    server.process.kill('SIGCONT');
  }
  // What the server took while nobody listened is given back, long before the lease ends.
  await (await locks.acquire(['paused'], { waitMs: 2_000 })).release();
});
