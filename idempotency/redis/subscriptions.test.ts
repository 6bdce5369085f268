import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import type { ClaimStore } from '../claims/claim-store.ts';
import { claimOf, leaseMs, newKey, newOwner, record } from '../testing/claim-store-suite.ts';
import { RedisServer, type TestRedisClient } from '../testing/redis-server.ts';
import { redisClaims } from './claims.ts';

let server: RedisServer;
let direct: TestRedisClient;
before(async () => {
  server = await RedisServer.start();
  direct = await server.client();
});
afterEach(async () => {
  await direct.configSet('maxclients', '1000');
  await direct.sendCommand(['ACL', 'SETUSER', 'default', 'allchannels']);
});
after(async () => {
  direct.destroy();
  await server.stop();
});

const options = { commandTimeoutMs: 5_000 };

async function openNodeRedis(t: TestContext, user: { username?: string; password?: string } = {}) {
  const socket = { path: server.socket, tls: false, reconnectStrategy: false } as const;
  const client = createClient({ ...user, socket });
  client.on('error', () => {});
  await client.connect();
  const store = redisClaims(client, options);
  t.after(async () => {
    await store.close();
    client.destroy();
  });
  return store;
}

/** Stores over clients that give up a connection as soon as it is lost. */
const clients: Record<string, (t: TestContext) => Promise<ClaimStore>> = {
  'node-redis': (t) => openNodeRedis(t),
  ioredis: async (t) => {
    const client = new Redis(server.socket, { retryStrategy: () => null });
    client.on('error', () => {});
    await once(client, 'ready');
    const store = redisClaims(client, options);
    t.after(async () => {
      await store.close();
      client.disconnect();
    });
    return store;
  },
};

const subscribers = async () =>
  (await direct.sendCommand(['CLIENT', 'LIST', 'TYPE', 'pubsub'])).toString().split('\n').length -
  1;

/** Watches a key that is in flight. @returns what resolves once woken, and what wakes it */
async function watchOne(store: ClaimStore, claim = claimOf(newKey())) {
  const woken = Promise.withResolvers<void>();
  await store.claim(claim, leaseMs);
  await store.claim({ ...claim, owner: newOwner() }, leaseMs);
  const stop = await store.watch(claim.scope, claim.key, woken.resolve);
  return { woken: woken.promise, stop, release: () => store.release(claim) };
}

for (const [name, open] of Object.entries(clients)) {
  test(`${name}: a subscriber that gave up is replaced at the next watch`, async (t) => {
    const store = await open(t);
    await watchOne(store);
    await direct.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    while ((await subscribers()) > 0) await setImmediate();
    const { woken, release, stop } = await watchOne(store);
    await release();
    await woken;
    assert.equal(await subscribers(), 1);
    stop();
  });

  test(`${name}: a subscriber that could not connect is replaced at the next watch`, async (t) => {
    const store = await open(t);
    await direct.configSet('maxclients', '1');
    await assert.rejects(watchOne(store), (error) => !/did not answer/.test(String(error)));
    await direct.configSet('maxclients', '1000');
    const { woken, release } = await watchOne(store);
    await release();
    await woken;
  });

  test(`${name}: who could not watch is not woken for those who can`, async (t) => {
    const store = await open(t);
    const claim = claimOf(newKey());
    await direct.sendCommand(['ACL', 'SETUSER', 'default', 'resetchannels']);
    let wakes = 0;
    const refused = store.watch(claim.scope, claim.key, () => wakes++);
    await assert.rejects(refused, /NOPERM/);
    await direct.sendCommand(['ACL', 'SETUSER', 'default', 'allchannels']);
    const { woken, release } = await watchOne(store, claim);
    await release();
    await woken;
    assert.equal(wakes, 0);
  });

  test(`${name}: a closed store opens no connection to watch`, async (t) => {
    const store = await open(t);
    await watchOne(store);
    await store.close();
    while ((await subscribers()) > 0) await setImmediate();
    await assert.rejects(
      store.watch('t', newKey(), () => {}),
      /closed/,
    );
  });
}

test('a user without channels completes, settles and releases what others wait for', async (t) => {
  await direct.sendCommand('ACL SETUSER no-channels on >secret ~* +@all resetchannels'.split(' '));
  const store = await openNodeRedis(t, { username: 'no-channels', password: 'secret' });
  const awaited = async () => {
    const claim = claimOf(newKey());
    await store.claim(claim, leaseMs);
    const held = await store.claim({ ...claim, owner: newOwner() }, leaseMs);
    assert.equal(held.state, 'in-flight');
    return claim;
  };
  assert.equal(await store.complete(await awaited(), record, leaseMs), true);
  await store.settle?.([await awaited()]);
  assert.equal(await store.release(await awaited()), true);
  const { scope, key } = await awaited();
  await assert.rejects(
    store.watch(scope, key, () => {}),
    /NOPERM/,
  );
});
