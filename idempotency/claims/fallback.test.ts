import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { KeyInvalid } from '../errors.ts';
import { parseKeyValue } from '../key.ts';
import { redisClaims } from '../redis/claims.ts';
import { claimOf, leaseMs, newKey, record } from '../testing/claim-store-suite.ts';
import { RedisServer, type TestRedisClient } from '../testing/redis-server.ts';
import type { Claim, ClaimResult, ClaimStore } from './claim-store.ts';
import { fallbackClaims } from './fallback.ts';
import { memoryClaims } from './memory.ts';

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

/** Redis before memory, and what the breaker said. */
function redisBeforeMemory(t: TestContext) {
  const events: string[] = [];
  const recovered = Promise.withResolvers<void>();
  const primary = redisClaims(client, { commandTimeoutMs: 5_000 });
  const claims = fallbackClaims(primary, memoryClaims(), {
    probeMs: 5,
    onDegraded: (error) => events.push(`degraded: ${error}`),
    onRecovered: () => {
      events.push('recovered');
      recovered.resolve();
    },
  });
  t.after(() => claims.close());
  return { claims, events, recovered: recovered.promise };
}

async function refusals(): Promise<number> {
  const stats = await client.info('errorstats');
  return [...stats.matchAll(/errorstat_\w+:count=(\d+)/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

const configure = (name: string, value: string) => client.configSet(name, value);

const refusingWrites = [
  {
    why: 'is full',
    refusal: /OOM/,
    begin: () => configure('maxmemory', '1'),
    end: () => configure('maxmemory', '0'),
  },
  {
    why: 'has become a replica',
    refusal: /READONLY/,
    begin: () => client.sendCommand(['REPLICAOF', '127.0.0.1', '1']),
    end: () => client.sendCommand(['REPLICAOF', 'NO', 'ONE']),
  },
  {
    why: 'misses its replicas',
    refusal: /NOREPLICAS/,
    begin: () => configure('min-replicas-to-write', '1'),
    end: () => configure('min-replicas-to-write', '0'),
  },
];

for (const { why, refusal, begin, end } of refusingWrites) {
  test(`a Redis that ${why} answers pings and is not used until it takes writes again`, async (t) => {
    const { claims, events, recovered } = redisBeforeMemory(t);
    await begin();
    t.after(end);
    await client.ping();
    assert.deepEqual(await claims.claim(claimOf(newKey()), leaseMs), { state: 'claimed' });
    const before = await refusals();
    while (events.length < 2 && (await refusals()) < before + 3) await setImmediate();
    assert.equal(events.length, 1, 'probes that were refused do not close the breaker');
    assert.match(events[0] as string, refusal);
    assert.equal(claims.degraded, true);
    await end();
    await recovered;
    assert.equal(claims.degraded, false);
    const claim = claimOf(newKey());
    await claims.claim(claim, leaseMs);
    assert.equal(await client.exists(`idempotency:{tenant}:${claim.key}`), 1);
    assert.equal(await client.exists('idempotency:{tenant}:probe of the claim store'), 0);
  });
}

/** A store whose every call fails, as long as `fails` says so. */
function failing(
  store: ClaimStore,
  fails: () => boolean,
  onCall: (claim: Claim) => void = () => {},
): ClaimStore {
  const get = (target: ClaimStore, name: keyof ClaimStore) => {
    if (name === 'close') return () => target.close();
    return async (...args: never[]) => {
      onCall(args[0] as unknown as Claim);
      if (fails()) throw new Error('out of reach');
      return (target[name] as (...args: never[]) => unknown)(...args);
    };
  };
  return new Proxy(store, { get: (target, name) => get(target, name as keyof ClaimStore) });
}

test('pauses between probes double up to half a minute, jittered, and are short again after', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let [nowMs, fails] = [0, true];
  const calls: number[] = [];
  const primary = failing(
    memoryClaims(),
    () => fails,
    () => calls.push(nowMs),
  );
  const claims = fallbackClaims(primary, memoryClaims());
  t.after(() => claims.close());
  const pass = async (untilMs: number) => {
    for (; nowMs < untilMs; nowMs += 100) {
      t.mock.timers.tick(100);
      await setImmediate();
    }
  };
  const pauses = () => calls.slice(1).map((at, i) => at - (calls[i] as number));
  await claims.claim(claimOf(newKey()), leaseMs);
  await pass(130_000);
  const expected = [1, 2, 4, 8, 16, 30, 30].map((seconds) => seconds * 1_000);
  for (const [i, pauseMs] of expected.entries()) {
    const paused = pauses()[i] as number;
    assert.ok(paused > 0.9 * pauseMs - 200 && paused < 1.1 * pauseMs + 200, `${i}: ${paused}`);
  }
  const off = expected.map((pauseMs, i) => Math.abs((pauses()[i] as number) - pauseMs));
  assert.ok(Math.max(...off) > 150, 'processes that lost Redis together do not ask together');
  fails = false;
  await pass(nowMs + 34_000);
  assert.equal(claims.degraded, false);
  fails = true;
  calls.length = 0;
  await claims.claim(claimOf(newKey()), leaseMs);
  await pass(nowMs + 2_000);
  assert.ok((pauses()[0] as number) < 1_300, 'a new outage begins with the first pause');
});

test('the breaker works on when its callbacks throw or reject', async (t) => {
  let fails = true;
  const recovered = Promise.withResolvers<void>();
  const primary = failing(memoryClaims(), () => fails);
  const claims = fallbackClaims(primary, memoryClaims(), {
    probeMs: 1,
    onDegraded: () => {
      throw new Error('degraded badly');
    },
    onRecovered: async () => {
      recovered.resolve();
      throw new Error('recovered badly');
    },
  });
  t.after(() => claims.close());
  const first = once(process, 'warning');
  assert.deepEqual(await claims.claim(claimOf(newKey()), leaseMs), { state: 'claimed' });
  assert.match(String(await first), /degraded badly/);
  const second = once(process, 'warning');
  fails = false;
  await recovered.promise;
  assert.match(String(await second), /recovered badly/);
  assert.equal(claims.degraded, false);
});

test('no call but a probe reaches the primary while the breaker is open', async (t) => {
  let calls = 0;
  const primary = failing(
    memoryClaims(),
    () => true,
    () => calls++,
  );
  const claims = fallbackClaims(primary, memoryClaims(), { probeMs: 60_000 });
  t.after(() => claims.close());
  const [first, second] = [claimOf(newKey()), claimOf(newKey())];
  for (const claim of [first, second]) await claims.claim(claim, leaseMs);
  const { scope, key } = first;
  (await claims.watch(scope, key, () => {}))();
  await claims.renew([first, second], leaseMs);
  assert.equal((await claims.peek(scope, key))?.state, 'in-flight');
  assert.equal(await claims.complete(first, record, leaseMs), true);
  assert.equal(await claims.release(second), true);
  assert.deepEqual(await claims.peek(scope, key), { state: 'completed', record });
  await assert.rejects(claims.renew([claimOf(newKey())], leaseMs), /not in use/);
  assert.equal(calls, 1);
});

test('a probe looks where the call failed, at a key that no header can name', async (t) => {
  const probed = Promise.withResolvers<Claim>();
  const failed = { ...claimOf(newKey()), scope: 'one of many' };
  const primary = failing(
    memoryClaims(),
    () => true,
    (claim) => claim.owner !== failed.owner && probed.resolve(claim),
  );
  const claims = fallbackClaims(primary, memoryClaims(), { probeMs: 1 });
  t.after(() => claims.close());
  await claims.claim(failed, leaseMs);
  const { scope, key } = await probed.promise;
  assert.equal(scope, 'one of many');
  for (const field of [key, `"${key}"`]) assert.throws(() => parseKeyValue(field), KeyInvalid);
});

test('a renewal the primary did not answer is unknown, neither held nor lost', async (t) => {
  let fails = false;
  const primary = failing(memoryClaims(), () => fails);
  const claims = fallbackClaims(primary, memoryClaims(), { probeMs: 60_000 });
  t.after(() => claims.close());
  const [first, second] = [claimOf(newKey()), claimOf(newKey())];
  await claims.claim(first, leaseMs);
  assert.deepEqual(await claims.renew([first], leaseMs), [true]);
  fails = true;
  await assert.rejects(claims.renew([first], leaseMs), /out of reach/);
  await assert.rejects(claims.renew([first], leaseMs), (error: Error) => {
    assert.match(error.message, /not in use/);
    assert.match(String(error.cause), /out of reach/);
    return true;
  });
  await claims.claim(second, leaseMs);
  assert.deepEqual(await claims.renew([first, second], leaseMs), [undefined, true]);
});

test('a claim that the secondary lost is lost', async (t) => {
  const secondary = memoryClaims();
  const claims = fallbackClaims(
    failing(memoryClaims(), () => true),
    secondary,
    { probeMs: 60_000 },
  );
  t.after(() => claims.close());
  const claim = claimOf(newKey());
  await claims.claim(claim, leaseMs);
  await secondary.complete(claim, record, 60_000);
  assert.deepEqual(await claims.renew([claim], leaseMs), [false]);
});

test('a committed claim is settled by whoever granted it, and by a primary that can', async (t) => {
  const settled: string[] = [];
  const renewed: string[] = [];
  const told = (name: string, store: ClaimStore): ClaimStore =>
    Object.assign(store, {
      settle: async () => void settled.push(name),
      renew: async (claims: readonly Claim[]) => {
        renewed.push(name);
        return claims.map(() => false);
      },
    });
  const claim = claimOf(newKey());
  const well = fallbackClaims(told('first', memoryClaims()), told('second', memoryClaims()));
  t.after(() => well.close());
  await well.claim(claim, leaseMs);
  await well.settle?.([claim]);
  assert.deepEqual(settled.splice(0), ['first']);

  let isGone = true;
  const primary = failing(memoryClaims(), () => isGone);
  const gone = fallbackClaims(told('first', primary), told('second', memoryClaims()), {
    probeMs: 1,
  });
  t.after(() => gone.close());
  await gone.claim(claim, leaseMs);
  isGone = false;
  while (gone.degraded) await setImmediate();
  await gone.settle?.([claim]);
  assert.deepEqual(settled.toSorted(), ['first', 'second']);
  await gone.renew([claim], leaseMs);
  assert.deepEqual(renewed, ['first'], 'the second is not asked about it any more');
});

test('a probe looks at the scope whose claims could not be settled', async (t) => {
  const probed = Promise.withResolvers<Claim>();
  const claims = ['well', 'ill'].map((scope) => ({ ...claimOf(newKey()), scope }));
  const primary: ClaimStore = Object.assign(memoryClaims(), {
    settle: async (settled: readonly Claim[]) => {
      if (settled.some(({ scope }) => scope === 'ill')) throw new Error('out of reach');
    },
    claim: async (claim: Claim): Promise<ClaimResult> => {
      probed.resolve(claim);
      return { state: 'claimed' };
    },
  });
  const store = fallbackClaims(primary, memoryClaims(), { probeMs: 1 });
  t.after(() => store.close());
  await store.settle?.(claims);
  assert.equal((await probed.promise).scope, 'ill');
});

test('a secondary that fails is heard of by the caller, whom the primary keeps waiting', async (t) => {
  let isGone = true;
  const claim = claimOf(newKey());
  const released = Promise.withResolvers<boolean>();
  const slow = Object.assign(memoryClaims(), {
    // A probe releases a key of its own.
    release: ({ key }: Claim) => (key === claim.key ? released.promise : Promise.resolve(true)),
  });
  const primary = failing(slow, () => isGone);
  const secondary = Object.assign(memoryClaims(), {
    release: async () => assert.fail('the second is gone as well'),
  });
  const claims = fallbackClaims(primary, secondary, { probeMs: 1 });
  t.after(() => claims.close());
  await claims.claim(claim, leaseMs);
  isGone = false;
  while (claims.degraded) await setImmediate();
  const unheard: unknown[] = [];
  const note = (error: unknown) => unheard.push(error);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const rejected = assert.rejects(claims.release(claim), /the second is gone/);
  // Node says what nobody heard of behind the microtasks of a turn.
  await setImmediate();
  released.resolve(false);
  await rejected;
  assert.deepEqual(unheard, []);
});
