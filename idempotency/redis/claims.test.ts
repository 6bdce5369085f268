import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import type { Claim, ClaimStore } from '../claims/claim-store.ts';
import { claimOf, leaseMs, newKey, newOwner, record } from '../testing/claim-store-suite.ts';
import { RedisProxy } from '../testing/proxy.ts';
import { RedisServer, type TestRedisClient } from '../testing/redis-server.ts';
import { redisClaims } from './claims.ts';
import { fewMax } from './coalescer.ts';
import type { RedisConnection } from './connection.ts';
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

test('answers of several owners and times to live complete in one tick, strangers alone do not', async () => {
  const store = redisClaims(client, { commandTimeoutMs: 5_000 });
  const claims = [1, 2, 3, 4].map(() => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  const owners = ['nobody', claims[1]?.owner, 'ä'.repeat(24), claims[3]?.owner] as string[];
  const completed = await Promise.all(
    claims.map((claim, i) => {
      const body = Buffer.from(`answer ${i}`);
      const own = { ...record, answer: { ...record.answer, body } };
      return store.complete({ ...claim, owner: owners[i] as string }, own, 10_000 * (i + 1));
    }),
  );
  assert.deepEqual(completed, [false, true, false, true]);
  for (const [i, { scope, key }] of claims.entries()) {
    const found = await store.peek(scope, key);
    assert.equal(found?.state, completed[i] ? 'completed' : 'in-flight');
    if (found?.state === 'completed') assert.equal(`${found.record.answer.body}`, `answer ${i}`);
    const left = await client.pTTL(`idempotency:{${scope}}:${key}`);
    if (completed[i]) assert.ok(left > 10_000 * i && left <= 10_000 * (i + 1), `${left} ms`);
  }
  await store.close();
});

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

for (const [count, scripts] of [
  [fewMax, 1],
  [2 * fewMax + 1, 2],
] as const) {
  test(`${count} claims, once committed, cost ${scripts} scripts and stay until their leases end`, async () => {
    const store = redisClaims(client, { commandTimeoutMs: 5_000 });
    await warmUp(store);
    await client.configResetStat();
    const claims = Array.from({ length: count }, () => claimOf(newKey()));
    const results = await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
    assert.ok(results.every(({ state }) => state === 'claimed'));
    await store.settle?.(claims);
    assert.equal(await scriptCalls(), scripts);
    for (const { scope, key } of claims) {
      assert.equal((await store.peek(scope, key))?.state, 'in-flight');
    }
    await store.close();
  });

  test(`${count} claims of keys that are held tell who holds them, and wake when settled`, async () => {
    const [one, two] = [redisClaims(client), redisClaims(client)];
    const claims = Array.from({ length: count }, () => claimOf(newKey()));
    await Promise.all(claims.map((claim) => one.claim(claim, leaseMs)));
    const held = await Promise.all(
      claims.map((claim) => two.claim({ ...claim, owner: newOwner() }, leaseMs)),
    );
    for (const result of held) assert.equal(result.state, 'in-flight');
    const again = await Promise.all(claims.map((claim) => one.claim(claim, leaseMs)));
    assert.ok(again.every(({ state }) => state === 'claimed'));
    for (const claim of claims) await two.claim({ ...claim, owner: newOwner() }, leaseMs);
    const woken = claims.map(() => Promise.withResolvers<void>());
    const stops = await Promise.all(
      claims.map(({ scope, key }, i) => two.watch(scope, key, () => woken[i]?.resolve())),
    );
    await one.settle?.(claims);
    await Promise.all(woken.map(({ promise }) => promise));
    for (const stop of stops) stop();
    await Promise.all([one.close(), two.close()]);
  });
}

/** The scripts are known to the server from then on. */
async function warmUp(store: ClaimStore) {
  const claims = Array.from({ length: 2 * fewMax + 1 }, () => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  await Promise.all(claims.map((claim) => store.complete(claim, record, leaseMs)));
  await Promise.all(claims.map((claim) => store.release(claim)));
  await store.settle?.(claims);
}

/** A connection without `command`: what it sends are scripts. */
function scripted(of = client): RedisConnection {
  const connection = nodeRedis(of);
  return {
    ready: true,
    evaluate: (...args) => connection.evaluate(...args),
    subscribe: (...args) => connection.subscribe(...args),
    unsubscribe: (...args) => connection.unsubscribe(...args),
    ping: () => connection.ping(),
    close: () => connection.close(),
  };
}

test('settling tells of keys of several scopes, free, held by others or of another type', async () => {
  const store = redisClaims(client, { commandTimeoutMs: 5_000 });
  const claims = [0, 1, 2, 3].map((i) => ({ ...claimOf(newKey()), scope: `scope ${i % 2}` }));
  const [foreign, taken, , waited] = claims as [Claim, Claim, Claim, Claim];
  await client.hSet(`idempotency:{${foreign.scope}}:${foreign.key}`, 'a', '1');
  const taker = { ...taken, owner: newOwner() };
  await store.claim(taker, leaseMs);
  await store.claim(waited, leaseMs);
  await store.claim({ ...waited, owner: newOwner() }, leaseMs);
  const woken = Promise.withResolvers<void>();
  const stop = await store.watch(waited.scope, waited.key, woken.resolve);
  await store.settle?.(claims);
  await woken.promise;
  stop();
  assert.equal(await client.hGet(`idempotency:{${foreign.scope}}:${foreign.key}`, 'a'), '1');
  assert.deepEqual(await store.renew([taker], leaseMs), [true]);
  await store.close();
});

test('renewing tells of what it can when a server of the cluster is gone, and fails with all', async () => {
  const gone = new Set<string>();
  const whole = scripted();
  const connection: RedisConnection = {
    ...whole,
    evaluate: async (script, keys, args) => {
      if (gone.has(keys[0]?.split(':')[1] as string)) throw new Error('gone');
      return whole.evaluate(script, keys, args);
    },
  };
  const store = redisClaims(connection, { commandTimeoutMs: 5_000 });
  const claims = ['there', 'away', 'there'].map((scope) => ({ ...claimOf(newKey()), scope }));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  await store.release(claims[2] as Claim);
  gone.add('{away}');
  assert.deepEqual(await store.renew(claims, leaseMs), [true, undefined, false]);
  gone.add('{there}');
  await assert.rejects(store.renew(claims, leaseMs), /gone/);
  assert.deepEqual(await store.renew([], leaseMs), []);
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

test('what one tick claims and frees is one write, and a claim never overtakes a release', async (t) => {
  const own = await server.client();
  t.after(() => own.destroy());
  const connection = nodeRedis(own);
  let commands = 0;
  const command: RedisConnection['command'] = (args) => {
    commands += 1;
    return connection.command?.(args) as Promise<unknown>;
  };
  const counted = { ...scripted(own), command };
  const store = redisClaims(counted, { commandTimeoutMs: 5_000 });
  const [done, left, fresh] = [claimOf(newKey()), claimOf(newKey()), claimOf(newKey())];
  await Promise.all([store.claim(done, leaseMs), store.claim(left, leaseMs)]);
  await warmUp(store);
  const reads = async () =>
    Number(/total_reads_processed:(\d+)/.exec(await client.info('stats'))?.[1]);
  const before = await reads();
  commands = 0;
  const settling = [
    store.claim(fresh, leaseMs),
    store.complete(done, record, leaseMs),
    store.release(left),
    store.claim({ ...left, owner: newOwner() }, leaseMs),
  ];
  assert.equal(commands, 1, 'the first claim is sent at once');
  const settled = await Promise.all(settling);
  assert.deepEqual(settled, [{ state: 'claimed' }, true, true, { state: 'claimed' }]);
  // The one, and the question itself.
  assert.equal((await reads()) - before, 2);
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
  test(`a call that is ${settle} while the store closes ends, and then the closing`, async (t) => {
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
    const closed = store.close();
    if (settle === 'answered') {
      proxy.pass();
      assert.equal(await completed, true);
    } else {
      await assert.rejects(completed, /did not answer/);
      await assert.rejects(store.claim(next, leaseMs), /did not answer/);
    }
    await closed;
  });
}

test('closing waits for what is on its way, also for a script sent anew', async (t) => {
  const own = await server.client();
  const store = redisClaims(own);
  const claims = Array.from({ length: 2 * fewMax + 1 }, () => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  await client.scriptFlush();
  const completed = claims.map((claim) => store.complete(claim, record, 60_000));
  await store.close();
  own.destroy();
  assert.ok((await Promise.all(completed)).every((done) => done));
  const other = redisClaims(client);
  t.after(() => other.close());
  const found = await Promise.all(claims.map(({ scope, key }) => other.peek(scope, key)));
  assert.ok(found.every((each) => each?.state === 'completed'));
});
