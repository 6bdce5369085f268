import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createClient } from 'redis';
import { type FallbackClaims, fallbackClaims } from '../claims/fallback.ts';
import { memoryClaims } from '../claims/memory.ts';
import { ClaimsUnavailable } from '../errors.ts';
import { createIdempotency, type RunResult } from '../layer.ts';
import { claimOf, leaseMs, newKey, newOwner, record } from '../testing/claim-store-suite.ts';
import { RedisProxy } from '../testing/proxy.ts';
import { RedisServer, type TestRedisClient } from '../testing/redis-server.ts';
import { redisClaims } from './claims.ts';
import type { RedisConnection } from './connection.ts';

let server: RedisServer;
let direct: TestRedisClient;
before(async () => {
  server = await RedisServer.start();
  direct = await server.client();
});
after(async () => {
  direct.destroy();
  await server.stop();
});

/** A client behind a proxy, and what has to be closed after the test. */
async function behindProxy(t: { after(fn: () => unknown): void }, commandTimeoutMs = 1_000) {
  const proxy = await RedisProxy.start(server.socket);
  const client = createClient({
    socket: { path: proxy.socket, tls: false, reconnectStrategy: () => 10 },
  });
  client.on('error', () => {});
  await client.connect();
  const store = redisClaims(client, { commandTimeoutMs });
  t.after(async () => {
    await store.close();
    client.destroy();
    await proxy.stop();
  });
  return { proxy, store, client };
}

const run = async (): Promise<RunResult> => ({ record, replayed: false });
const requestOf = (key: string) => ({ scope: 't', key, fingerprint: record.fingerprint });

for (const count of [1, 20]) {
  test(`of ${count}, a claim whose reply is lost with its connection asks again`, async (t) => {
    const { proxy, store } = await behindProxy(t);
    const claims = (): Promise<unknown>[] =>
      Array.from({ length: count }, () => store.claim(claimOf(newKey()), leaseMs));
    // Else the lost reply would say that the script is not known yet, and nothing was claimed.
    await Promise.all(claims());
    const lost = proxy.loseNextReply();
    const results = Promise.all(claims());
    await lost;
    for (const result of await results) assert.deepEqual(result, { state: 'claimed' });
  });
}

test('a claim that was never answered does not block the resend', async (t) => {
  const { proxy, store } = await behindProxy(t, 100);
  const layer = createIdempotency({ claims: store });
  t.after(() => layer.close());
  const request = requestOf(newKey());
  proxy.hold();
  await assert.rejects(layer.execute(request, run), ClaimsUnavailable);
  assert.equal(await direct.exists(`idempotency:{t}:${request.key}`), 1, 'Redis holds the claim');
  proxy.pass();
  const began = performance.now();
  assert.equal((await layer.execute(request, run)).replayed, false);
  assert.ok(performance.now() - began < 90, 'at once, not after a wait');
});

test('the latest unanswered claims are remembered, however many there were', async (t) => {
  const { proxy, store } = await behindProxy(t, 300);
  const claims = Array.from({ length: 10_050 }, () => claimOf(newKey()));
  proxy.hold();
  const results = await Promise.allSettled(claims.map((claim) => store.claim(claim, leaseMs)));
  assert.ok(results.every((result) => result.status === 'rejected'));
  proxy.pass();
  const last = claims.at(-1) as ReturnType<typeof claimOf>;
  const resend = await store.claim({ ...last, owner: newOwner() }, leaseMs);
  assert.deepEqual(resend, { state: 'claimed' });
});

test('a claim fails in bounded time when Redis does not answer or is not there', async (t) => {
  const { proxy, store, client } = await behindProxy(t, 50);
  proxy.hold();
  const began = performance.now();
  await assert.rejects(store.claim(claimOf(newKey()), leaseMs), /did not answer within 50 ms/);
  assert.ok(performance.now() - began < 500);
  client.destroy();
  await assert.rejects(store.claim(claimOf(newKey()), leaseMs), /not connected/);
});

test('foreign and corrupt values count as absent', async (t) => {
  const { store } = await behindProxy(t);
  const whole = claimOf(newKey());
  await store.claim(whole, leaseMs);
  await store.complete(whole, record, 60_000);
  const valid = await direct
    .withTypeMapping({ 36: Buffer })
    .get(`idempotency:{tenant}:${whole.key}`);
  const bytes = valid as unknown as Buffer;
  const badHeaders = Buffer.from(bytes);
  badHeaders[76] = 0x21;
  const size = `ik1c-${'x'.repeat(88)}`;
  const corrupt: (string | Buffer)[] = ['', 'hello', 'ik1c', `${size}x`, 'ik1r', size.slice(0, -1)];
  corrupt.push(size.replace('ik1c', 'ik1d'), bytes.subarray(0, -1), badHeaders);
  corrupt.push(Buffer.concat([bytes, bytes]));
  for (const value of corrupt) {
    for (const expiry of [{}, { PX: 60_000 }]) await countsAsAbsent(value, expiry);
  }
  // A claim, but one that would never lapse.
  await countsAsAbsent(size, {});

  async function countsAsAbsent(value: string | Buffer, expiry: { PX?: number }) {
    const claim = claimOf(newKey());
    await direct.set(`idempotency:{tenant}:${claim.key}`, value, expiry);
    assert.equal((await store.claim(claim, leaseMs)).state, 'claimed', String(value));
    assert.equal(await store.complete(claim, record, 60_000), true);
  }
});

test('a key of another Redis type counts as absent', async (t) => {
  const { store } = await behindProxy(t);
  const claim = claimOf(newKey());
  const key = `idempotency:{tenant}:${claim.key}`;
  await direct.hSet(key, 'a', '1');
  assert.equal(await store.peek(claim.scope, claim.key), undefined);
  assert.deepEqual(await store.renew([claim], leaseMs), [false]);
  assert.equal(await store.release(claim), false);
  assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
});

test('a Redis that is full still answers repeats, and refuses what is new', async (t) => {
  const full = await RedisServer.start();
  const client = await full.client();
  t.after(async () => {
    client.destroy();
    await full.stop();
  });
  const store = redisClaims(client, { commandTimeoutMs: 1_000 });
  const [done, held] = [claimOf(newKey()), claimOf(newKey())];
  await Promise.all([store.claim(done, leaseMs), store.claim(held, 60_000)]);
  await store.complete(done, record, 60_000);
  await client.configSet({ 'maxmemory-policy': 'noeviction', maxmemory: '1' });
  const repeats = Array.from({ length: 20 }, () => ({ ...done, owner: newOwner() }));
  const results = await Promise.all(repeats.map((repeat) => store.claim(repeat, leaseMs)));
  for (const result of results) assert.deepEqual(result, { state: 'completed', record });
  for (const claim of [claimOf(newKey()), held]) {
    await assert.rejects(store.claim(claim, leaseMs), /OOM/);
  }
});

test('scripts are sent again to a server that has lost them', async (t) => {
  const { store } = await behindProxy(t);
  const claim = claimOf(newKey());
  await store.claim(claim, leaseMs);
  await direct.scriptFlush();
  assert.equal(await store.complete(claim, record, 60_000), true);
});

test('a record that cannot be stored fails alone', async (t) => {
  const { store } = await behindProxy(t);
  const [good, bad] = [claimOf(newKey()), claimOf(newKey())];
  await Promise.all([store.claim(good, leaseMs), store.claim(bad, leaseMs)]);
  const headers = { location: 'x'.repeat(70_000) };
  const huge = { ...record, answer: { ...record.answer, headers } };
  const [stored, failed] = await Promise.allSettled([
    store.complete(good, record, 60_000),
    store.complete(bad, huge, 60_000),
  ]);
  assert.deepEqual(stored, { status: 'fulfilled', value: true });
  assert.equal(failed.status, 'rejected');
});

test('a store that throws at once does not fail a request whose effect is committed', async (t) => {
  const { store } = await behindProxy(t);
  const claims = Object.create(store, {
    settle: {
      value: () => {
        throw new RangeError('at once');
      },
    },
  });
  const errors: unknown[] = [];
  const onClaimError = (error: unknown) => errors.push(error);
  const records = { find: async () => undefined };
  const layer = createIdempotency({ claims, records, onClaimError });
  t.after(() => layer.close());
  assert.equal((await layer.execute(requestOf(newKey()), run)).replayed, false);
  await setImmediate();
  assert.match(String(errors[0]), /at once/);
});

test('chunks that throw at once and chunks that fail are told once, and leave no rejection behind', async () => {
  const connection: RedisConnection = {
    ready: true,
    evaluate: (_script, keys) => {
      if (keys[0]?.includes('at once')) throw new RangeError('at once');
      return Promise.reject(new Error('later'));
    },
    subscribe: async () => {},
    unsubscribe: async () => {},
    ping: async () => {},
    close: async () => {},
  };
  const store = redisClaims(connection);
  const claims = ['later', 'at once', 'later too'].map((scope) => ({
    ...claimOf(newKey()),
    scope,
  }));
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  await assert.rejects(store.settle?.(claims) as Promise<void>, /at once|later/);
  await setImmediate();
  process.off('unhandledRejection', note);
  assert.deepEqual(unhandled, []);
  await store.close();
});

function fallback(
  t: { after(fn: () => unknown): void },
  primary: ReturnType<typeof redisClaims>,
  events: string[] = [],
) {
  const recovered = Promise.withResolvers<void>();
  const claims: FallbackClaims = fallbackClaims(primary, memoryClaims(), {
    probeMs: 20,
    onDegraded: () => events.push('degraded'),
    onRecovered: () => {
      events.push('recovered');
      recovered.resolve();
    },
  });
  t.after(() => claims.close());
  return { claims, recovered: recovered.promise };
}

test('no request fails or hangs while Redis is gone, and Redis is used again after', async (t) => {
  const { proxy, store } = await behindProxy(t, 50);
  const events: string[] = [];
  const { claims, recovered } = fallback(t, store, events);
  const layer = createIdempotency({ claims, recentBytesMax: 0 });
  t.after(() => layer.close());
  proxy.hold();
  const keys = Array.from({ length: 40 }, newKey);
  const results = await Promise.all(keys.map((key) => layer.execute(requestOf(key), run)));
  assert.equal(results.filter((result) => !result.replayed).length, 40);
  const began = performance.now();
  assert.equal((await layer.execute(requestOf(keys[0] as string), run)).replayed, true);
  assert.ok(performance.now() - began < 40, 'the breaker is open: nobody waits for Redis');
  assert.equal(claims.degraded, true);
  proxy.pass();
  await recovered;
  assert.deepEqual(events, ['degraded', 'recovered']);
  const claim = claimOf(newKey());
  await claims.claim(claim, leaseMs);
  assert.equal(await direct.exists(`idempotency:{tenant}:${claim.key}`), 1);
});

test('an owner that claimed in memory while Redis was gone stays the owner', async (t) => {
  const { proxy, store } = await behindProxy(t, 50);
  const { claims, recovered } = fallback(t, store);
  const claim = claimOf(newKey());
  proxy.hold();
  assert.deepEqual(await claims.claim(claim, leaseMs), { state: 'claimed' });
  proxy.pass();
  await recovered;
  assert.deepEqual(await claims.renew([claim], leaseMs), [true]);
  assert.equal(await claims.complete(claim, record, 60_000), true);
  // Its unanswered claim had reached Redis, so the answer is there as well.
  const seen = await redisClaimsOf(direct).claim({ ...claim, owner: newOwner() }, leaseMs);
  assert.deepEqual(seen, { state: 'completed', record });
});

test('a killed Redis that comes back empty changes nothing for its clients', async (t) => {
  const own = await RedisServer.start();
  const client = await own.client();
  const store = redisClaims(client, { commandTimeoutMs: 100 });
  const { claims, recovered } = fallback(t, store);
  const layer = createIdempotency({ claims });
  t.after(async () => {
    await layer.close();
    client.destroy();
    await own.stop();
  });
  const key = newKey();
  await layer.execute(requestOf(key), run);
  await own.kill();
  assert.equal((await layer.execute(requestOf(key), run)).replayed, true);
  assert.equal((await layer.execute(requestOf(newKey()), run)).replayed, false);
  await own.run();
  await recovered;
  assert.equal((await layer.execute(requestOf(newKey()), run)).replayed, false);
});

function redisClaimsOf(client: TestRedisClient) {
  return redisClaims(client, { commandTimeoutMs: 1_000 });
}
