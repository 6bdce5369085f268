import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from 'redis';
import { startRedis } from './fixtures/redis.ts';
import { redisOfFile } from './fixtures/redisOfFile.ts';
import { until } from './fixtures/topology.ts';
import { createLocks, redisDriver } from './index.ts';

const redis = redisOfFile('--repl-diskless-sync-delay', '0');

test('tokens rise across a failover that lost the last writes', async (t) => {
  const replica = await startRedis('--replicaof', '127.0.0.1', `${redis.server.port}`);
  const second = createClient({ url: replica.url });
  t.after(async () => {
    second.destroy();
    await replica.stop();
  });
  await second.connect();
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'failover' });
  await (await locks.acquire(['k'])).release();
  const fence = 'failover:~:fence';
  await until(async () => (await second.get(fence)) === (await redis.client.get(fence)));
  await second.sendCommand(['REPLICAOF', 'NO', 'ONE']);

  let last = await locks.acquire(['k']);
  for (let i = 0; i < 100; i++) {
    await last.release();
    last = await locks.acquire(['k']);
  }
  const promoted = createLocks({ driver: redisDriver(second), prefix: 'failover' });
  const next = await promoted.acquire(['k']);
  assert.ok(next.fencingToken > last.fencingToken);
  const waiting = promoted.acquire(['k']);
  await next.release();
  assert.ok((await waiting).fencingToken > next.fencingToken);
  await promoted.close();
});

for (const [what, damage] of Object.entries({
  'no number': ['SET', 'damaged:~:fence', 'abc'],
  'no safe integer': ['SET', 'damaged:~:fence', '1e300'],
  'of another type': ['RPUSH', 'damaged:~:fence', 'abc'],
})) {
  test(`a fence that is ${what} counts as lost, and tokens go on rising`, async () => {
    const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'damaged' });
    const before = await locks.acquire(['k']);
    await redis.client.del('damaged:~:fence');
    await redis.client.sendCommand(damage);
    const other = await locks.acquire(['other']);
    assert.ok(other.fencingToken > before.fencingToken);
    await redis.client.del('damaged:~:fence');
    await redis.client.sendCommand(damage);
    const reader = await locks.acquire(['third'], { mode: 'shared' });
    assert.ok(reader.fencingToken > other.fencingToken);
    await Promise.all([before.release(), other.release(), reader.release()]);
  });
}

test('the fence and the key hold the token digit for digit, whatever the clock shows', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'digits' });
  const patience = performance.now() + 10_000;
  let token: bigint;
  // Until the microseconds of a second begin with a zero, as they do for a tenth of each.
  do {
    const lease = await locks.acquire(['k']);
    token = lease.fencingToken / 64n;
    assert.equal(await redis.client.get('digits:~:fence'), `${token}`);
    assert.equal((await redis.client.get('digits:k'))?.split(' ')[1], `${token}`);
    await lease.release();
    assert.ok(performance.now() < patience);
  } while (token % 1_000_000n >= 100_000n);
});

test('the token of a lease over several slots becomes the fence, whatever stood there', async () => {
  const driver = redisDriver(redis.client)({
    prefix: 'floor',
    client: 'c',
    aliveMs: 5_000,
    onGrant: () => {},
  });
  const claim = { keys: ['floor:k'], owner: 'o', mode: 'exclusive', leaseMs: 10_000 } as const;
  assert.ok((await driver.acquire(claim, false)).granted);
  await redis.client.set('floor:~:fence', 'abc');
  const floor = (Date.now() + 60_000) * 1_000;
  assert.equal(await driver.extend(claim, floor), true);
  assert.equal(await redis.client.get('floor:~:fence'), `${floor}`);
});
