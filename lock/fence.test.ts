import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { type RedisServer, startRedis } from './fixtures/redis.ts';
import { createLocks, redisDriver } from './index.ts';

let server: RedisServer;
let client: ReturnType<typeof createClient>;

before(async () => {
  server = await startRedis('--repl-diskless-sync-delay', '0');
  client = createClient({ url: server.url });
  await client.connect();
});

after(async () => {
  client.destroy();
  await server.stop();
});

test('tokens rise across a failover that lost the last writes', async (t) => {
  const replica = await startRedis('--replicaof', '127.0.0.1', `${server.port}`);
  const second = createClient({ url: replica.url });
  t.after(async () => {
    second.destroy();
    await replica.stop();
  });
  await second.connect();
  const locks = createLocks({ driver: redisDriver(client), prefix: 'failover' });
  await (await locks.acquire(['k'])).release();
  while ((await second.get('failover:~:fence')) !== (await client.get('failover:~:fence')));
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
    const locks = createLocks({ driver: redisDriver(client), prefix: 'damaged' });
    const before = await locks.acquire(['k']);
    await client.del('damaged:~:fence');
    await client.sendCommand(damage);
    const other = await locks.acquire(['other']);
    assert.ok(other.fencingToken > before.fencingToken);
    await client.del('damaged:~:fence');
    await client.sendCommand(damage);
    const reader = await locks.acquire(['third'], { mode: 'shared' });
    assert.ok(reader.fencingToken > other.fencingToken);
    await Promise.all([before.release(), other.release(), reader.release()]);
  });
}

test('the token of a lease over several slots becomes the fence, whatever stood there', async () => {
  const driver = redisDriver(client)({
    prefix: 'floor',
    client: 'c',
    aliveMs: 5_000,
    onGrant: () => {},
  });
  const claim = { keys: ['floor:k'], owner: 'o', mode: 'exclusive', leaseMs: 10_000 } as const;
  assert.ok((await driver.acquire(claim, false)).granted);
  await client.set('floor:~:fence', 'abc');
  const floor = (Date.now() + 60_000) * 1_000;
  assert.equal(await driver.extend(claim, floor), true);
  assert.equal(await client.get('floor:~:fence'), `${floor}`);
});
