import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import type { ClaimStore } from '../claims/claim-store.ts';
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

const later = () => ({ ...record, expiresAt: Date.now() + 3_600_000 });
const other = { ...record, fingerprint: 'e'.repeat(64) };

for (const [count, scripts] of [
  [fewMax, 0],
  [2 * fewMax + 1, 2],
] as const) {
  test(`${count} claims and their committed answers cost ${scripts} scripts`, async () => {
    const store = redisClaims(client, { commandTimeoutMs: 5_000 });
    await warmUp(store);
    await client.configResetStat();
    const claims = Array.from({ length: count }, () => claimOf(newKey()));
    const kept = later();
    const results = await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
    assert.ok(results.every(({ state }) => state === 'claimed'));
    await store.keep?.(claims.map((claim) => ({ claim, record: kept, ttlMs: leaseMs })));
    assert.equal((await scriptCalls()) || 0, scripts);
    for (const { scope, key } of claims) {
      assert.deepEqual(await store.peek(scope, key), { state: 'completed', record: kept });
    }
    await store.close();
  });

  test(`${count} claims of keys that are held tell who holds them, and wake when kept`, async () => {
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
    await one.keep?.(claims.map((claim) => ({ claim, record: later(), ttlMs: leaseMs })));
    await Promise.all(woken.map(({ promise }) => promise));
    for (const stop of stops) stop();
    await Promise.all([one.close(), two.close()]);
  });
}

/** Both scripts are known to the server from then on. */
async function warmUp(store: ClaimStore) {
  const claims = Array.from({ length: 2 * fewMax + 1 }, () => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  await Promise.all(claims.map((claim) => store.complete(claim, record, leaseMs)));
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

for (const [way, connection] of [
  ['commands', () => client],
  ['scripts', () => scripted()],
] as const) {
  test(`by ${way} a committed answer takes the place of another claim, whose owner changes nothing`, async () => {
    const store = redisClaims(connection(), { commandTimeoutMs: 5_000 });
    const late = claimOf(newKey());
    const claim = { ...claimOf(''), key: late.key, fingerprint: other.fingerprint };
    const committed = later();
    await store.claim(claim, leaseMs);
    await store.keep?.([{ claim: late, record: committed, ttlMs: leaseMs }]);
    assert.deepEqual(await store.renew([claim], leaseMs), [false]);
    assert.equal(await store.complete(claim, other, leaseMs), false);
    assert.equal(await store.release(claim), false);
    assert.deepEqual(await store.claim(claim, leaseMs), { state: 'completed', record: committed });
    await store.close();
  });

  test(`by ${way} committed answers of several scopes and times to live are kept together`, async () => {
    const store = redisClaims(connection(), { commandTimeoutMs: 5_000 });
    const answers = [0, 1, 2, 3].map((i) => ({
      claim: { ...claimOf(newKey()), scope: `scope ${i % 2}` },
      record: { ...later(), answer: { ...record.answer, body: Buffer.from(`answer ${i}`) } },
      ttlMs: i < 2 ? 10_000 : 60_000,
    }));
    await store.keep?.(answers);
    for (const { claim, record, ttlMs } of answers) {
      const { scope, key } = claim;
      assert.deepEqual(await store.peek(scope, key), { state: 'completed', record });
      const left = await client.pTTL(`idempotency:{${scope}}:${key}`);
      // Where they share a call, the shortest: what ends early is looked up.
      assert.ok(left > 5_000 && left <= ttlMs, `${left} of ${ttlMs} ms`);
    }
    await store.close();
  });

  test(`by ${way} a committed answer leaves a key of another type alone, and fails nothing`, async () => {
    const store = redisClaims(connection(), { commandTimeoutMs: 5_000 });
    const [claim, next] = [claimOf(newKey()), claimOf(newKey())];
    const key = `idempotency:{tenant}:${claim.key}`;
    await client.hSet(key, 'a', '1');
    await store.keep?.(
      [claim, next].map((each) => ({ claim: each, record: later(), ttlMs: leaseMs })),
    );
    assert.equal(await client.hGet(key, 'a'), '1');
    assert.equal((await store.peek(next.scope, next.key))?.state, 'completed');
    await store.close();
  });

  test(`by ${way} a committed answer that cannot be stored fails alone, and is reported`, async () => {
    const store = redisClaims(connection(), { commandTimeoutMs: 5_000 });
    const [odd, whole] = [claimOf(newKey()), claimOf(newKey())];
    const kept = store.keep?.([
      { claim: odd, record: { ...later(), fingerprint: 'short' }, ttlMs: leaseMs },
      { claim: whole, record: later(), ttlMs: leaseMs },
    ]);
    await assert.rejects(kept as Promise<void>, /fingerprint has 64/);
    assert.equal((await store.peek(whole.scope, whole.key))?.state, 'completed');
    await store.close();
  });
}

test('where a store is the only memory no claim is overwritten', async () => {
  const store = redisClaims(client, { commandTimeoutMs: 5_000 });
  store.keepUntilExpiry?.();
  const claim = claimOf(newKey());
  await store.claim(claim, leaseMs);
  const stranger = { ...claim, owner: newOwner() };
  await store.keep?.([{ claim: stranger, record: later(), ttlMs: leaseMs }]);
  assert.equal((await store.peek(claim.scope, claim.key))?.state, 'in-flight');
  await store.keep?.([{ claim, record: later(), ttlMs: leaseMs }]);
  assert.equal((await store.peek(claim.scope, claim.key))?.state, 'completed');
  await store.close();
});

test('an answer that was kept after it expired is not served, and its key is free', async () => {
  const [store, only] = [redisClaims(client), redisClaims(client)];
  only.keepUntilExpiry?.();
  const claim = claimOf(newKey());
  const expired = { ...record, expiresAt: Date.now() - 1 };
  await store.keep?.([{ claim, record: expired, ttlMs: leaseMs }]);
  assert.equal(await store.peek(claim.scope, claim.key), undefined);
  // Its clock must not decide where no record does: there the time to live is the bound.
  const known = { state: 'completed', record: expired };
  assert.deepEqual(await only.claim(claim, leaseMs), known);
  assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
  await Promise.all([store.close(), only.close()]);
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
  await store.complete({ ...done, owner: newOwner() }, record, leaseMs);
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

test('closing waits for the answers that are on their way, also by a script sent anew', async (t) => {
  const own = await server.client();
  const store = redisClaims(own);
  const claims = Array.from({ length: 2 * fewMax + 1 }, () => claimOf(newKey()));
  await Promise.all(claims.map((claim) => store.claim(claim, leaseMs)));
  await client.scriptFlush();
  const lasting = { ...record, expiresAt: Date.now() + 60_000 };
  const kept = store.keep?.(claims.map((claim) => ({ claim, record: lasting, ttlMs: 60_000 })));
  await store.close();
  own.destroy();
  await kept;
  const other = redisClaims(client);
  t.after(() => other.close());
  const found = await Promise.all(claims.map(({ scope, key }) => other.peek(scope, key)));
  assert.ok(found.every((each) => each?.state === 'completed'));
});
