import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Claim } from '../driver.ts';
import { redisOfFile } from '../fixtures/redisOfFile.ts';
import { createLocks, LockUnavailable, redisDriver } from '../index.ts';

const redis = redisOfFile();

const foreign: Record<string, string[]> = {
  hash: ['HSET', 'kind:k', 'field', 'value'],
  zset: ['ZADD', 'kind:k', '1', 'member'],
  string: ['SET', 'kind:k', 'value'],
};

for (const [kind, command] of Object.entries(foreign)) {
  test(`a key that is a ${kind} of somebody else is named and left as it is`, async () => {
    const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'kind' });
    await redis.client.del('kind:k');
    await redis.client.sendCommand(command);
    for (const mode of ['exclusive', 'shared'] as const) {
      await assert.rejects(locks.acquire(['a', 'k'], { mode, waitMs: 300 }), (error: unknown) => {
        assert.ok(error instanceof LockUnavailable);
        assert.match(error.message, new RegExp(`kind:k is no lock but a ${kind}`));
        return true;
      });
    }
    assert.equal(await redis.client.type('kind:k'), kind);
    assert.equal((await locks.inspect('a')).mode, 'free');
    await locks.close();
  });
}

test('waiters that died are forgotten when another comes to wait', async () => {
  const waiting = 'dead:~:waiting';
  const made = redisDriver(redis.client)({
    prefix: 'dead',
    client: 'c',
    aliveMs: 50,
    onGrant: () => {},
  });
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
    left = await redis.client.zCard(waiting);
    assert.ok(performance.now() < patience, `${left} waiters are left`);
  } while (left > 1);
  await made.close();
});
