import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { claimOf, leaseMs, newKey, newOwner, record } from '../testing/claim-store-suite.ts';
import { RedisProxy } from '../testing/proxy.ts';
import { RedisServer, type TestRedisClient } from '../testing/redis-server.ts';
import { redisClaims } from './claims.ts';
import { nodeRedis } from './node-redis.ts';

let server: RedisServer;
let client: TestRedisClient;
before(async () => {
  server = await RedisServer.start();
  client = await server.client();
});
after(async () => {
  client.destroy();
  await server.stop();
});

/** How many scripts the server ran since its statistics were reset. */
async function scriptCalls(): Promise<number> {
  const stats = await client.info('commandstats');
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1]);
}

test('answers too large for one script call together go out in several', async () => {
  const store = redisClaims(client, { commandTimeoutMs: 10_000 });
  const claims = [1, 2, 3].map(() => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  const large = { ...record, answer: { ...record.answer, body: Buffer.alloc(3 * 1024 * 1024) } };
  await store.complete({ ...(claims[0] as (typeof claims)[0]), owner: 'nobody' }, record, leaseMs);
  await client.configResetStat();
  const done = await Promise.all(claims.map((claim) => store.complete(claim, large, leaseMs)));
  assert.deepEqual(done, [true, true, true]);
  assert.equal(await scriptCalls(), 3);
  await store.close();
});

test('a claim whose parts have another size than they must is refused, and alone', async () => {
  const store = redisClaims(client, { commandTimeoutMs: 5_000 });
  const whole = claimOf(newKey());
  const odd = ['f'.repeat(63), 'f'.repeat(65), `${'f'.repeat(63)}ä`];
  const claims = odd.map((fingerprint) => ({ ...claimOf(newKey()), fingerprint }));
  claims.push({ ...claimOf(newKey()), owner: 'short' });
  const refused = claims.map((claim) => assert.rejects(store.claim(claim, leaseMs), /24 .* 64/));
  assert.deepEqual(await store.claim(whole, leaseMs), { state: 'claimed' });
  await Promise.all(refused);
  for (const { key } of claims) assert.equal(await client.exists(`idempotency:{tenant}:${key}`), 0);
  await store.close();
});

test('a connection that gives text for bytes is told so, and loses nobody a claim', async () => {
  const connection = nodeRedis(client);
  const evaluate: typeof connection.evaluate = (script, keys, args) =>
    client.sendCommand(['EVAL', script.text, String(keys.length), ...keys, ...args]);
  const textual = { ...connection, ready: true, evaluate, close: async () => {} };
  const store = redisClaims(textual, { commandTimeoutMs: 5_000 });
  const claim = claimOf(newKey());
  assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
  const second = store.claim({ ...claim, owner: newOwner() }, leaseMs);
  await assert.rejects(second, /must return bulk strings as Buffers/);
  assert.equal(await store.complete(claim, record, leaseMs), true);
  await assert.rejects(store.claim(claim, leaseMs), /must return bulk strings as Buffers/);
  await store.close();
});

test('an unreadable answer is discarded, but not where it is the only memory', async () => {
  const [store, only] = [redisClaims(client), redisClaims(client)];
  only.keepUntilExpiry?.();
  const claim = claimOf(newKey());
  await client.set(`idempotency:{tenant}:${claim.key}`, 'ik1r and no more', { PX: leaseMs });
  await assert.rejects(only.claim(claim, leaseMs), /cannot be read.* until it expires/);
  await assert.rejects(only.claim(claim, leaseMs), /cannot be read.* until it expires/);
  assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
  await Promise.all([store.close(), only.close()]);
});

for (const settle of ['answered', 'left unanswered'] as const) {
  test(`a call that is ${settle} after the store was closed ends`, async (t) => {
    const proxy = await RedisProxy.start(server.socket);
    const own = createClient({ socket: { path: proxy.socket, tls: false } });
    own.on('error', () => {});
    await own.connect();
    t.after(async () => {
      own.destroy();
      await proxy.stop();
    });
    const store = redisClaims(own, { commandTimeoutMs: settle === 'answered' ? 5_000 : 50 });
    const [claim, next] = [claimOf(newKey()), claimOf(newKey())];
    await store.claim(claim, leaseMs);
    proxy.hold();
    const completed = store.complete(claim, record, leaseMs);
    await store.close();
    if (settle === 'answered') {
      proxy.pass();
      assert.equal(await completed, true);
    } else {
      await assert.rejects(completed, /did not answer/);
      await assert.rejects(store.claim(next, leaseMs), /did not answer/);
    }
  });
}
