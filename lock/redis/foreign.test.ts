import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import type { Claim } from '../driver.ts';
import { type RedisServer, startRedis } from '../fixtures/redis.ts';
import { createLocks, LockUnavailable, redisDriver } from '../index.ts';

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

const foreign: Record<string, string[]> = {
  hash: ['HSET', 'kind:k', 'field', 'value'],
  zset: ['ZADD', 'kind:k', '1', 'member'],
  string: ['SET', 'kind:k', 'value'],
};

for (const [kind, command] of Object.entries(foreign)) {
  test(`a key that is a ${kind} of somebody else is named and left as it is`, async () => {
    const locks = createLocks({ driver: redisDriver(client), prefix: 'kind' });
    await client.del('kind:k');
    await client.sendCommand(command);
    for (const mode of ['exclusive', 'shared'] as const) {
      await assert.rejects(locks.acquire(['a', 'k'], { mode, waitMs: 300 }), (error: unknown) => {
        assert.ok(error instanceof LockUnavailable);
        assert.match(error.message, new RegExp(`kind:k is no lock but a ${kind}`));
        return true;
      });
    }
    assert.equal(await client.type('kind:k'), kind);
    assert.equal((await locks.inspect('a')).mode, 'free');
    await locks.close();
  });
}

test('waiters that died are forgotten when another comes to wait', async () => {
  const waiting = 'dead:~:waiting';
  const made = redisDriver(client)({ prefix: 'dead', client: 'c', aliveMs: 50, onGrant: () => {} });
  const claim = (key: string, owner: string): Claim => ({
    keys: [`dead:${key}`],
    owner,
    mode: 'exclusive',
    leaseMs: 60_000,
  });
  await made.listen?.(['dead:k0']);
  const keys = Array.from({ length: 10 }, (_, i) => `k${i}`);
  for (const key of keys) {
    await made.acquire(claim(key, 'holder'), false);
    await made.acquire(claim(key, `waiter-${key}`), true);
  }
  const patience = performance.now() + 10_000;
  let left: number;
  do {
    await made.acquire(claim('k0', 'live'), true);
    left = await client.zCard(waiting);
    assert.ok(performance.now() < patience, `${left} waiters are left`);
  } while (left > 1);
  await made.close();
});
