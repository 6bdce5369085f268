import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { IdempotencyRecord } from './answer.ts';
import type { ClaimStore } from './claims/claim-store.ts';
import { KeyReused, RequestInFlight } from './errors.ts';
import {
  createIdempotency,
  type IdempotencyOptions,
  type KeyedRequest,
  type RunResult,
} from './layer.ts';
import { redisClaims } from './redis/claims.ts';
import { RedisServer } from './testing/redis-server.ts';

/** What a layer does whose answers are committed in a database, by two processes with one Redis. */

let server: RedisServer;
before(async () => {
  server = await RedisServer.start();
});
after(() => server.stop());

/** Records that processes share, as in a database. */
class Committed {
  readonly #records = new Map<string, IdempotencyRecord>();
  finds = 0;
  /** Set, a look-up fails. */
  failure: Error | undefined;

  readonly records = {
    find: async (_scope: string, key: string) => {
      this.finds += 1;
      if (this.failure) throw this.failure;
      return this.#records.get(key);
    },
  };

  commit({ key }: KeyedRequest, more: Partial<IdempotencyRecord> = {}): RunResult {
    const record = { ...recordOf(key), ...more };
    this.#records.set(key, record);
    return { record, replayed: false };
  }
}

const fingerprint = 'a'.repeat(64);
const recordOf = (key: string): IdempotencyRecord => ({
  fingerprint,
  answer: { status: 201, headers: { location: '/x' }, body: Buffer.from(`answer to ${key}`) },
});
const never = async (): Promise<RunResult> => assert.fail('must not run');
let keys = 0;
const request = (): KeyedRequest => ({ scope: 't1', key: `key-${++keys}`, fingerprint });
const replayOf = ({ key }: KeyedRequest) => ({ answer: recordOf(key).answer, replayed: true });

/** A layer on a connection of its own, like another process. */
async function open(t: TestContext, options: Partial<IdempotencyOptions>) {
  const client = await server.client();
  const claims = redisClaims(client, { commandTimeoutMs: 2_000 });
  const layer = createIdempotency({ claims, ...options });
  t.after(async () => {
    await layer.close();
    await claims.close();
    client.destroy();
  });
  return { layer, claims, client };
}

/**
 * A request that runs in the first process until it is told to end, and a layer to repeat it in.
 */
async function running(t: TestContext, options: Partial<IdempotencyOptions> = {}) {
  const committed = new Committed();
  const { records } = committed;
  const one = await open(t, { records });
  const two = await open(t, { records, waitMs: 5_000, ...options });
  const once = request();
  const [began, end] = [Promise.withResolvers<void>(), Promise.withResolvers<RunResult>()];
  const first = one.layer.execute(once, () => {
    began.resolve();
    return end.promise;
  });
  await began.promise;
  const commit = () => end.resolve(committed.commit(once));
  return { committed, one, two, once, first, commit };
}

test('a repeat elsewhere has its answer from the records, and watches nothing, while the claim lies there', async (t) => {
  const { two, once, first, commit } = await running(t);
  commit();
  await first;
  two.claims.watch = () => assert.fail('must not watch');
  assert.equal((await two.claims.peek(once.scope, once.key))?.state, 'in-flight');
  assert.deepEqual(await two.layer.execute(once, never), replayOf(once));
  const other = { ...once, fingerprint: 'b'.repeat(64) };
  await assert.rejects(two.layer.execute(other, never), KeyReused);
});

test('a duplicate that waits elsewhere is woken by the commit, not by its poll', async (t) => {
  const { committed, two, once, first, commit } = await running(t);
  await two.claims.watch('t1', 'warm', () => {});
  const second = two.layer.execute(once, never);
  // Once before it watches and once after: then it waits for its bell.
  while (committed.finds < 2) await setImmediate();
  const began = performance.now();
  commit();
  await first;
  assert.deepEqual(await second, replayOf(once));
  assert.ok(performance.now() - began < 100, 'a poll takes at least 125 ms');
});

test('a look-up that fails while a duplicate waits does not fail it', async (t) => {
  const { committed, two, once, first, commit } = await running(t);
  const second = two.layer.execute(once, never);
  while (committed.finds < 1) await setImmediate();
  committed.failure = new Error('terminating connection');
  while (committed.finds < 4) await setImmediate();
  committed.failure = undefined;
  commit();
  await first;
  assert.deepEqual(await second, replayOf(once));
});

test('a duplicate whose time is over is told what the last look-up found, or that it failed', async (t) => {
  for (const last of ['the record', 'nothing', 'a failure'] as const) {
    const { committed, two, once, first, commit } = await running(t, { waitMs: 0 });
    const watch = two.claims.watch.bind(two.claims);
    two.claims.watch = (...args) => {
      if (last === 'the record') commit();
      if (last === 'a failure') committed.failure = new Error('terminating connection');
      return watch(...args);
    };
    const second = two.layer.execute(once, never);
    if (last === 'the record') assert.deepEqual(await second, replayOf(once));
    else if (last === 'nothing') await assert.rejects(second, RequestInFlight);
    else await assert.rejects(second, /terminating connection/);
    commit();
    await first;
  }
});

test('a claim that would outlive its record is released', async (t) => {
  const leaseMs = 60_000;
  const committed = new Committed();
  const { layer, claims } = await open(t, { records: committed.records, leaseMs });
  for (const [lifetimeMs, state] of [
    [leaseMs / 2, undefined],
    [Number.NaN, undefined],
    [2 * leaseMs, 'in-flight'],
    [Number.POSITIVE_INFINITY, 'in-flight'],
  ] as const) {
    const once = request();
    const expiresAt = Date.now() + lifetimeMs;
    await layer.execute(once, async () => committed.commit(once, { expiresAt }));
    await claims.ping();
    assert.equal((await claims.peek(once.scope, once.key))?.state, state, `${lifetimeMs} ms`);
  }
});

test('a store that throws at once fails no request whose effect is committed, and no other claim', async (t) => {
  const committed = new Committed();
  const { records } = committed;
  const { claims } = await open(t, {});
  const released: string[] = [];
  const release: ClaimStore['release'] = ({ key }) => {
    if (key.endsWith('bad')) throw new RangeError('at once');
    released.push(key);
    return Promise.resolve(true);
  };
  const store: ClaimStore = Object.create(claims, {
    release: { value: release },
    settle: { value: undefined },
  });
  const errors: unknown[] = [];
  const layer = createIdempotency({ claims: store, records, onClaimError: (e) => errors.push(e) });
  const [bad, good, brief] = [`${keys}-bad`, `${keys}-good`, `${keys}-brief-bad`].map((key) => ({
    ...request(),
    key,
  })) as [KeyedRequest, KeyedRequest, KeyedRequest];
  const answers = await Promise.all([
    layer.execute(bad, async () => committed.commit(bad)),
    layer.execute(good, async () => committed.commit(good)),
    layer.execute(brief, async () => committed.commit(brief, { expiresAt: Date.now() + 100 })),
  ]);
  assert.deepEqual(
    answers.map(({ replayed }) => replayed),
    [false, false, false],
  );
  await layer.close();
  assert.deepEqual(released, [good.key]);
  assert.equal(errors.filter((error) => error instanceof RangeError).length, 2);
});
