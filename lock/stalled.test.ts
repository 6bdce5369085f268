import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'redis';
import { startProxy } from './fixtures/proxy.ts';
import { startRedis } from './fixtures/redis.ts';
import { redisOfFile } from './fixtures/redisOfFile.ts';
import { until } from './fixtures/topology.ts';
import { waitersOf } from './fixtures/waiters.ts';
import { createLocks, LockTimeout, LockUnavailable, redisDriver } from './index.ts';

const redis = redisOfFile();

for (const [whose, named] of Object.entries({
  'an owner of its own': {},
  'a named owner': { owner: 'me' },
})) {
  test(`a waiter with ${whose} that fails while the server owes answers leaves the queue`, async (t) => {
    const prefix = whose.replaceAll(' ', '-');
    const proxy = await startProxy(redis.server.port);
    const far = createClient({ url: `redis://127.0.0.1:${proxy.port}` });
    far.on('error', () => {});
    await far.connect();
    t.after(async () => {
      far.destroy();
      await proxy.stop();
    });
    const near = createLocks({ driver: redisDriver(redis.client), prefix });
    const stalling = createLocks({
      driver: redisDriver(far),
      prefix,
      commandTimeoutMs: 200,
    });
    const held = await near.acquire(['k'], { leaseMs: 60_000 });
    const waiting = stalling.acquire(['k'], { leaseMs: 60_000, waitMs: 30_000, ...named });
    const failed = assert.rejects(waiting, LockUnavailable);
    await waitersOf(near, 'k', 1);
    // Replies come in order, so after this one it knows of its place in the queue.
    await stalling.inspect('k');
    proxy.partition(true);
    // Others of the process keep finding out that it does not answer, so the waiter meets the
    // breaker.
    const others = setInterval(() => stalling.inspect('x').catch(() => {}), 5);
    t.after(() => clearInterval(others));
    await failed;
    clearInterval(others);
    proxy.partition(false);
    const ready = new Promise((resolve) => far.once('ready', resolve));
    proxy.cut();
    await ready;
    await waitersOf(near, 'k', 0);
    await held.release();
    await (await near.acquire(['k'], { waitMs: 0 })).release();
    await Promise.all([near.close(), stalling.close()]);
  });
}

test('where no further connection can be opened, waiters poll and nobody else notices', async (t) => {
  const small = await startRedis();
  const clients = [createClient({ url: small.url }), createClient({ url: small.url })] as const;
  for (const each of clients) await each.connect();
  t.after(async () => {
    for (const each of clients) each.destroy();
    await small.stop();
  });
  await clients[0].configSet('maxclients', '2');
  const one = createLocks({ driver: redisDriver(clients[0]) });
  const two = createLocks({ driver: redisDriver(clients[1]), commandTimeoutMs: 250 });
  const held = await one.acquire(['k'], { leaseMs: 60_000 });
  await assert.rejects(two.acquire(['k'], { waitMs: 600 }), LockTimeout);
  for (let i = 0; i < 20; i++) await (await two.acquire([`free-${i}`], { waitMs: 0 })).release();
  const waiting = two.acquire(['k'], { waitMs: 20_000 });
  await held.release();
  await (await waiting).release();
  await clients[0].configSet('maxclients', '100');
  const again = await one.acquire(['k']);
  const woken = two.acquire(['k'], { waitMs: 20_000 });
  await waitersOf(one, 'k', 1);
  await again.release();
  await (await woken).release();
  await Promise.all([one.close(), two.close()]);
});

test('locks close while their second connection cannot be opened', async (t) => {
  const small = await startRedis();
  const clients = [createClient({ url: small.url }), createClient({ url: small.url })] as const;
  for (const each of clients) await each.connect();
  t.after(async () => {
    for (const each of clients) each.destroy();
    await small.stop();
  });
  await clients[0].configSet('maxclients', '2');
  const one = createLocks({ driver: redisDriver(clients[0]) });
  const two = createLocks({ driver: redisDriver(clients[1]) });
  const held = await one.acquire(['k'], { leaseMs: 60_000 });
  await assert.rejects(two.acquire(['k'], { waitMs: 50 }), LockTimeout);
  await two.close();
  await held.release();
});

test('what is given back late leaves alone what the same owner claimed since', async (t) => {
  const proxy = await startProxy(redis.server.port);
  const far = createClient({ url: `redis://127.0.0.1:${proxy.port}` });
  far.on('error', () => {});
  await far.connect();
  t.after(async () => {
    far.destroy();
    await proxy.stop();
  });
  const near = createLocks({ driver: redisDriver(redis.client), prefix: 'resent' });
  const stalled = createLocks({
    driver: redisDriver(far),
    prefix: 'resent',
    commandTimeoutMs: 100,
  });
  const settings = { owner: 'me', leaseMs: 60_000, waitMs: 0 };
  const first = await stalled.acquire(['k'], settings);
  proxy.partition(true);
  // It gets no answer, so it will be tried again.
  await first.release();
  const second = await near.acquire(['k'], settings);
  const before = await scriptCalls();
  proxy.partition(false);
  const ready = new Promise((resolve) => far.once('ready', resolve));
  proxy.cut();
  await ready;
  await until(async () => (await scriptCalls()) > before);
  assert.equal((await near.inspect('k')).mode, 'exclusive');
  await second.extend();
  await second.release();
  assert.equal((await near.inspect('k')).mode, 'free');
  await Promise.all([near.close(), stalled.close()]);
});

async function scriptCalls(): Promise<number> {
  const stats = await redis.client.info('commandstats');
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
}
