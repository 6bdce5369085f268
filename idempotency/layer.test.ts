import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { createClient } from 'redis';
import type { Answer, IdempotencyRecord } from './answer.ts';
import type { ClaimStore } from './claims/claim-store.ts';
import { memoryClaims } from './claims/memory.ts';
import { ClaimsUnavailable, KeyReused, RequestInFlight } from './errors.ts';
import {
  createIdempotency,
  type Idempotency,
  type IdempotencyOptions,
  type KeyedRequest,
  type RunResult,
} from './layer.ts';
import { redisClaims } from './redis/claims.ts';
import { encodeClaim } from './redis/value.ts';
import { RedisProxy } from './testing/proxy.ts';
import { RedisServer, type TestRedisClient } from './testing/redis-server.ts';

const prints = { a: 'a'.repeat(64), b: 'b'.repeat(64) };
const answer = (text: string): Answer => ({
  status: 201,
  headers: { 'content-type': 'text/plain', location: '/x' },
  body: Buffer.from([...Buffer.from(text), 0, 255, 128]),
});
const record = (text: string, fingerprint = prints.a): IdempotencyRecord => ({
  fingerprint,
  answer: answer(text),
});
const recorded = (text: string) => async (): Promise<RunResult> => ({
  record: record(text),
  replayed: false,
});
const never = async (): Promise<RunResult> => assert.fail('must not run');

let server: RedisServer;
const clients: TestRedisClient[] = [];
const closers: (() => Promise<void>)[] = [];
before(async () => {
  server = await RedisServer.start();
});
after(async () => {
  for (const close of closers) await close();
  for (const client of clients) client.destroy();
  await server.stop();
});

/** A layer on a connection of its own, like another process. */
async function redisLayer(options: Partial<IdempotencyOptions> = {}) {
  const client = await server.client();
  clients.push(client);
  const claims = redisClaims(client, { commandTimeoutMs: 2_000 });
  return { layer: layerOn(claims, options), claims, client };
}

function layerOn(claims: ClaimStore, options: Partial<IdempotencyOptions> = {}) {
  const layer = createIdempotency({ claims, ...options });
  closers.push(async () => {
    await layer.close();
    await claims.close();
  });
  return layer;
}

let keys = 0;
const request = (fingerprint = prints.a) => ({ scope: 't1', key: `key-${++keys}`, fingerprint });

function gate<T>() {
  return Promise.withResolvers<T>();
}

/** Begins a request that ends with `open`; resolves once it holds its claim and runs. */
async function begin(layer: Idempotency, once: KeyedRequest, open: Promise<RunResult>) {
  const started = gate<void>();
  const first = layer.execute(once, () => {
    started.resolve();
    return open;
  });
  await started.promise;
  return { first };
}

test('a repeat is answered with the first answer and does not run', async () => {
  const { layer } = await redisLayer();
  const once = request();
  const first = await layer.execute(once, recorded('one'));
  assert.deepEqual(first, { answer: answer('one'), replayed: false });
  assert.deepEqual(await layer.execute(once, never), { answer: answer('one'), replayed: true });
});

test('a key that is no string is refused as everything else is', async () => {
  const { layer } = await redisLayer();
  const refused = layer.execute({ ...request(), key: undefined as never }, never);
  await assert.rejects(refused, { name: 'TypeError', message: /`key` must be a string/ });
});

test('a fingerprint of another form is refused before anything is stored', async () => {
  const { layer, client } = await redisLayer();
  for (const fingerprint of ['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), `${prints.a}\n`]) {
    const once = request(fingerprint);
    await assert.rejects(layer.execute(once, never), {
      name: 'TypeError',
      message: /`fingerprint` must have 64/,
    });
    assert.equal(await client.exists(`idempotency:{t1}:${once.key}`), 0);
  }
});

test('another process replays the same bytes from Redis', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  await one.layer.execute(once, recorded('one'));
  assert.deepEqual(await two.layer.execute(once, never), { answer: answer('one'), replayed: true });
});

test('a key used for another request is refused from every place that knows it', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  const other = { ...once, fingerprint: prints.b };
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  await assert.rejects(one.layer.execute(other, never), KeyReused, 'in flight here');
  await assert.rejects(two.layer.execute(other, never), KeyReused, 'in flight elsewhere');
  open.resolve({ record: record('one'), replayed: false });
  await first;
  await assert.rejects(one.layer.execute(other, never), KeyReused, 'completed here');
  await assert.rejects(two.layer.execute(other, never), KeyReused, 'completed elsewhere');
  assert.deepEqual(
    (await two.layer.execute(once, never)).answer,
    answer('one'),
    'and stays intact',
  );
});

test('50 concurrent duplicates in two processes run once and get one answer', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  let runs = 0;
  const run = async (): Promise<RunResult> => {
    await setImmediate();
    return { record: record(`run ${++runs}`), replayed: false };
  };
  const calls = Array.from({ length: 50 }, (_, i) => (i % 2 ? one : two).layer.execute(once, run));
  const results = await Promise.all(calls);
  assert.equal(runs, 1);
  assert.equal(results.filter((result) => !result.replayed).length, 1);
  for (const result of results) assert.deepEqual(result.answer, answer('run 1'));
});

test('a duplicate elsewhere is woken by the completion, not by its poll', async () => {
  const [one, two] = [await redisLayer(), await redisLayer({ waitMs: 5_000 })];
  await two.claims.watch('t1', 'warm', () => {});
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  const second = two.layer.execute(once, never);
  const channel = `idempotency:{t1}:${once.key}`;
  while ((await one.client.pubSubNumSub(channel))[channel] === 0) await setImmediate();
  await one.client.ping();
  const began = performance.now();
  open.resolve({ record: record('one'), replayed: false });
  await first;
  assert.equal((await second).replayed, true);
  assert.ok(performance.now() - began < 100, 'a poll takes at least 125 ms');
});

test('a duplicate is told that the request is in flight once it waited long enough', async () => {
  const [one, two] = [await redisLayer({ waitMs: 30 }), await redisLayer({ waitMs: 30 })];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  const late = (error: unknown) =>
    error instanceof RequestInFlight && error.status === 409 && (error.retryAfterSeconds ?? 0) >= 1;
  await assert.rejects(one.layer.execute(once, never), late);
  await assert.rejects(two.layer.execute(once, never), late);
  open.resolve({ record: record('one'), replayed: false });
  await first;
});

test('a duplicate elsewhere waits its time, also when its look-up hangs', async () => {
  const hung = gate<undefined>();
  const [one, two] = [
    await redisLayer(),
    await redisLayer({ waitMs: 30, records: { find: () => hung.promise } }),
  ];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  await assert.rejects(two.layer.execute(once, never), RequestInFlight);
  hung.resolve(undefined);
  open.resolve({ record: record('one'), replayed: false });
  await first;
});

test('an answer that is not recorded leaves the key free, also for those who waited', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  const [here, elsewhere] = [
    one.layer.execute(once, recorded('second')),
    two.layer.execute(once, recorded('second')),
  ];
  open.resolve({ unrecorded: { ...answer('busy'), status: 503 } });
  assert.equal((await first).answer.status, 503);
  const results = await Promise.all([here, elsewhere]);
  assert.deepEqual(results.map((result) => result.replayed).sort(), [false, true]);
});

test('a run that throws releases its claim and rethrows', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  const failing = one.layer.execute(once, () => Promise.reject(new Error('broken pipe')));
  await assert.rejects(failing, /broken pipe/);
  assert.equal((await two.layer.execute(once, recorded('again'))).replayed, false);
});

test('a record that the database already held is a replay, or a reuse when it differs', async () => {
  const { layer } = await redisLayer();
  const held = async (): Promise<RunResult> => ({ record: record('held'), replayed: true });
  const once = request();
  assert.deepEqual(await layer.execute(once, held), { answer: answer('held'), replayed: true });
  const other = request(prints.b);
  await assert.rejects(layer.execute(other, held), KeyReused);
  await assert.rejects(layer.execute(other, never), KeyReused);
});

test('a record committed by an owner that then died is found at once', async () => {
  const [one, two] = [
    await redisLayer(),
    await redisLayer({ records: { find: async () => record('committed') } }),
  ];
  const once = request();
  await one.claims.claim({ ...once, owner: 'x'.repeat(24) }, 60_000);
  const began = performance.now();
  const result = await two.layer.execute(once, never);
  assert.deepEqual(result, { answer: answer('committed'), replayed: true });
  assert.ok(performance.now() - began < 1_000);
});

test('a reused key in flight is refused once the records know of no other owner', async () => {
  const asked: string[] = [];
  const find = async (_: string, key: string) => void asked.push(key);
  const [one, two] = [
    await redisLayer({ records: { find } }),
    await redisLayer({ records: { find } }),
  ];
  const once = request();
  const other = { ...once, fingerprint: prints.b };
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  await assert.rejects(one.layer.execute(other, never), KeyReused, 'in flight here');
  await assert.rejects(two.layer.execute(other, never), KeyReused, 'in flight elsewhere');
  assert.deepEqual(asked, [once.key, once.key]);
  open.resolve({ unrecorded: answer('busy') });
  await first;
});

test('an honest retry has its answer while a wrong request flies under its key', async () => {
  const records = { find: async () => record('committed') };
  const [one, two] = [await redisLayer({ records }), await redisLayer({ records })];
  const once = request();
  const wrong = { ...once, fingerprint: prints.b };
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, wrong, open.promise);
  const expected = { answer: answer('committed'), replayed: true };
  assert.deepEqual(await one.layer.execute(once, never), expected, 'in flight here');
  assert.deepEqual(await two.layer.execute(once, never), expected, 'in flight elsewhere');
  const another = { ...once, fingerprint: 'c'.repeat(64) };
  await assert.rejects(one.layer.execute(another, never), KeyReused);
  await assert.rejects(two.layer.execute(another, never), KeyReused);
  open.resolve({ record: record('committed'), replayed: true });
  await assert.rejects(first, KeyReused);
});

test('an honest retry that waits has its answer when a wrong request takes the claim', async () => {
  let looks = 0;
  const find = async () => (++looks === 1 ? undefined : record('committed'));
  const { layer, claims, client } = await redisLayer({ records: { find }, waitMs: 60_000 });
  const once = request();
  await claims.claim({ ...once, owner: 'x'.repeat(24) }, 60_000);
  const waiting = layer.execute(once, never);
  while (looks === 0) await setImmediate();
  const wrong = encodeClaim({ ...once, fingerprint: prints.b, owner: 'y'.repeat(24) });
  await client.set(`idempotency:{t1}:${once.key}`, wrong, { PX: 60_000 });
  assert.deepEqual(await waiting, { answer: answer('committed'), replayed: true });
});

test('a wrong request that has no claim yet does not refuse the right one', async () => {
  const looking = gate<void>();
  const looked = gate<undefined>();
  const find = () => {
    looking.resolve();
    return looked.promise;
  };
  const [one, two] = [await redisLayer(), await redisLayer({ records: { find } })];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  const wrong = two.layer.execute({ ...once, fingerprint: prints.b }, never);
  await looking.promise;
  const duplicate = two.layer.execute(once, never);
  await two.claims.ping();
  looked.resolve(undefined);
  await assert.rejects(wrong, KeyReused);
  open.resolve({ record: record('one'), replayed: false });
  await first;
  assert.deepEqual(await duplicate, { answer: answer('one'), replayed: true });
});

test('a duplicate waits once for its time, first here and then elsewhere', async () => {
  const waitMs = 1_000;
  const { layer, claims, client } = await redisLayer({ waitMs });
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(layer, once, open.promise);
  const began = performance.now();
  const duplicate = layer.execute(once, never);
  await client.del(`idempotency:{t1}:${once.key}`);
  await claims.claim({ ...once, owner: 'x'.repeat(24) }, 60_000);
  // Nearly all of its time must pass here, so that little is left for the wait elsewhere.
  await setTimeout(0.9 * waitMs);
  open.resolve({ unrecorded: answer('busy') });
  await first;
  await assert.rejects(duplicate, RequestInFlight);
  assert.ok(performance.now() - began < 1.5 * waitMs);
});

test('a claim whose owner died is taken over when its lease ends', async () => {
  const { layer, claims } = await redisLayer();
  const once = request();
  await claims.claim({ ...once, owner: 'x'.repeat(24) }, 80);
  assert.equal((await layer.execute(once, recorded('taken over'))).replayed, false);
});

test('the claim of a run that goes on is renewed before its lease ends', async () => {
  const { layer, claims } = await redisLayer({ leaseMs: 900 });
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(layer, once, open.promise);
  let left = Number.POSITIVE_INFINITY;
  for (;;) {
    const held = await claims.peek(once.scope, once.key);
    assert.ok(held?.state === 'in-flight', 'the lease ended');
    // Without renewal it only ever shrinks.
    if (held.leaseMs > left) break;
    left = held.leaseMs;
  }
  open.resolve({ record: record('one'), replayed: false });
  await first;
});

test('an owner that lost its claim is told, and changes nothing', async () => {
  const { layer, claims, client } = await redisLayer({ leaseMs: 90 });
  const once = request();
  const redisKey = `idempotency:{t1}:${once.key}`;
  const result = layer.execute(once, async ({ signal }) => {
    await client.del(redisKey);
    await claims.claim({ ...once, owner: 'y'.repeat(24) }, 60_000);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return { record: record('late'), replayed: false };
  });
  assert.deepEqual((await result).answer, answer('late'));
  await claims.ping();
  assert.equal((await claims.peek(once.scope, once.key))?.state, 'in-flight');
});

/** A layer whose connection can be cut or made silent. */
async function proxiedLayer(
  t: TestContext,
  options: Partial<IdempotencyOptions>,
  commandTimeoutMs = 10_000,
) {
  const proxy = await RedisProxy.start(server.socket);
  const socket = { path: proxy.socket, tls: false, reconnectStrategy: () => 20 } as const;
  const client = createClient({ socket });
  client.on('error', () => {});
  await client.connect();
  const claims = redisClaims(client, { commandTimeoutMs });
  const errors: unknown[] = [];
  const layer = createIdempotency({
    claims,
    onClaimError: (error) => errors.push(error),
    ...options,
  });
  t.after(async () => {
    await proxy.stop();
    client.destroy();
    await layer.close();
  });
  return { layer, claims, proxy, errors };
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

test('a renewal of which the store can tell nothing loses no claim before its lease ends', async () => {
  const store = memoryClaims();
  const asked = Promise.withResolvers<void>();
  const renew: ClaimStore['renew'] = async (claims) => {
    asked.resolve();
    return claims.map(() => undefined);
  };
  const layer = layerOn(Object.assign(Object.create(store), { renew }), { leaseMs: 600 });
  const request = { scope: 's', key: 'unknown-renewal', fingerprint: prints.a };
  await layer.execute(request, async ({ signal }) => {
    await asked.promise;
    await setImmediate();
    assert.equal(signal.aborted, false);
    return { record: record('x'), replayed: false };
  });
});

for (const [fault, renewals] of [
  ['fail', (proxy: RedisProxy) => proxy.stop()],
  ['are not answered', (proxy: RedisProxy) => proxy.hold()],
] as const) {
  test(`a run is told on time that its lease ended when renewals ${fault}`, async (t) => {
    const leaseMs = 1_200;
    const { layer, proxy, errors } = await proxiedLayer(t, { leaseMs });
    // Starts the timer, so that the lease below ends between two of its ticks.
    await layer.execute(request(), recorded('earlier'));
    await setTimeout(leaseMs / 30);
    const began = performance.now();
    await layer.execute(request(), async ({ signal }) => {
      await renewals(proxy);
      await aborted(signal);
      return { unrecorded: answer('stopped') };
    });
    const ran = performance.now() - began;
    assert.ok(ran >= leaseMs && ran < 1.25 * leaseMs, `${ran}`);
    if (fault === 'fail') assert.notEqual(errors.length, 0);
  });
}

test('a lease counts from before it was asked for, however late the answer came', async (t) => {
  const leaseMs = 1_200;
  const { layer, proxy } = await proxiedLayer(t, { leaseMs });
  proxy.hold();
  let began = 0;
  const result = layer.execute(request(), async ({ signal }) => {
    began = performance.now();
    proxy.hold();
    await aborted(signal);
    return { unrecorded: answer('stopped') };
  });
  await setTimeout(0.75 * leaseMs);
  proxy.pass();
  await result;
  assert.ok(performance.now() - began < 0.75 * leaseMs);
});

test('state tells of a record that is being written as of a request in flight', async () => {
  const outcomes = ['pending', record('one'), undefined] as const;
  for (const outcome of outcomes) {
    const records = { find: async () => undefined, lookUp: async () => outcome };
    const { layer } = await redisLayer({ records });
    const state = await layer.state('t1', 'k');
    const told = outcome === 'pending' ? 'in-flight' : outcome && { completed: outcome };
    assert.deepEqual(state, told);
  }
});

test('state tells in-flight, completed and no effect', async () => {
  const committed = new Map([['old', record('old')]]);
  const records = { find: async (_: string, key: string) => committed.get(key) };
  const [one, two] = [await redisLayer({ records }), await redisLayer({ records })];
  const once = request();
  const open = gate<RunResult>();
  assert.equal(await one.layer.state(once.scope, once.key), undefined);
  const { first } = await begin(one.layer, once, open.promise);
  while ((await two.layer.state(once.scope, once.key)) !== 'in-flight') await setImmediate();
  assert.equal(await one.layer.state(once.scope, once.key), 'in-flight');
  committed.set(once.key, record('one'));
  open.resolve({ record: record('one'), replayed: false });
  await first;
  assert.equal((await two.claims.peek(once.scope, once.key))?.state, 'in-flight');
  assert.deepEqual(await one.layer.state(once.scope, once.key), { completed: record('one') });
  assert.deepEqual(await two.layer.state(once.scope, once.key), { completed: record('one') });
  assert.deepEqual(await one.layer.state('t1', 'old'), { completed: record('old') });
});

test('closing releases the claims of requests that still run, for the record decides', async () => {
  const records = { find: async () => undefined };
  const [one, two] = [await redisLayer({ records }), await redisLayer({ records })];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  await one.layer.close();
  assert.equal(await two.claims.peek(once.scope, once.key), undefined);
  open.resolve({ unrecorded: answer('stopped') });
  await first;
});

test('closing without records waits for what runs, and keeps its claim meanwhile', async () => {
  const [one, two] = [await redisLayer({ leaseMs: 5_000 }), await redisLayer()];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  let closed = false;
  const closing = one.layer.close().then(() => {
    closed = true;
  });
  const duplicate = two.layer.execute(once, never);
  await two.claims.ping();
  assert.equal((await two.claims.peek(once.scope, once.key))?.state, 'in-flight');
  assert.equal(closed, false);
  open.resolve({ record: record('one'), replayed: false });
  await closing;
  assert.deepEqual(await two.claims.peek(once.scope, once.key), {
    state: 'completed',
    record: record('one'),
  });
  assert.deepEqual((await first).answer, answer('one'));
  assert.equal((await duplicate).replayed, true);
});

test('closing without records leaves what runs longer than a lease to its lease', async () => {
  const leaseMs = 600;
  const [one, two] = [await redisLayer({ leaseMs }), await redisLayer()];
  const once = request();
  const [open, told] = [gate<RunResult>(), gate<void>()];
  const first = one.layer.execute(once, ({ signal }) => {
    signal.addEventListener('abort', () => told.resolve());
    return open.promise;
  });
  while ((await two.layer.state(once.scope, once.key)) !== 'in-flight') await setImmediate();
  const began = performance.now();
  await one.layer.close();
  assert.ok(performance.now() - began < 3 * leaseMs);
  await told.promise;
  assert.equal((await two.claims.peek(once.scope, once.key))?.state, 'in-flight');
  open.resolve({ unrecorded: answer('stopped') });
  await first;
});

test('closing tells the store what was committed in this turn', async () => {
  const claims = memoryClaims();
  const settled: string[] = [];
  claims.settle = async (committed) => {
    for (const { key } of committed) settled.push(key);
  };
  const layer = layerOn(claims, { records: { find: async () => undefined } });
  const [one, two] = [request(), request()];
  await Promise.all([layer.execute(one, recorded('one')), layer.execute(two, recorded('two'))]);
  assert.deepEqual(settled, [], 'gathered');
  await layer.close();
  assert.deepEqual(settled, [one.key, two.key]);
});

test('without records an answer that was given is remembered here when the store is gone', async () => {
  for (const expiresAt of [undefined, null]) {
    const { layer, client } = await redisLayer();
    const once = request();
    const first = { ...record('one'), expiresAt } as unknown as IdempotencyRecord;
    await layer.execute(once, async () => ({ record: first, replayed: false }));
    assert.equal(await client.exists(`idempotency:{t1}:${once.key}`), 1);
    client.destroy();
    const again = layer.execute(once, never);
    if (expiresAt === undefined) assert.equal((await again).replayed, true);
    else await assert.rejects(again, ClaimsUnavailable);
  }
});

test('without records an answer is in the store before it is given', async () => {
  const { layer, claims } = await redisLayer();
  const complete = claims.complete.bind(claims);
  const order: string[] = [];
  claims.complete = async (...args) => {
    const kept = await complete(...args);
    order.push('kept');
    return kept;
  };
  await layer.execute(request(), recorded('one'));
  order.push('given');
  assert.deepEqual(order, ['kept', 'given']);
});

test('without records an answer is kept for its retention', async () => {
  for (const [options, ttlMs] of [
    [{}, 86_400_000],
    [{ retentionMs: 3_600_000 }, 3_600_000],
  ] as const) {
    const { layer, client } = await redisLayer(options);
    const once = request();
    await layer.execute(once, recorded('one'));
    const left = await client.pTTL(`idempotency:{t1}:${once.key}`);
    assert.ok(left <= ttlMs && left > ttlMs - 60_000, `${left} of ${ttlMs}`);
  }
});

test('without records an answer is kept over a lost reply and a cut connection', async (t) => {
  for (const lostReplies of [1, 2]) {
    const { layer, proxy, errors } = await proxiedLayer(t, {});
    const two = await redisLayer();
    const once = request();
    const result = await layer.execute(once, async () => {
      let lost = proxy.loseNextReply();
      for (let i = 1; i < lostReplies; i++) lost = lost.then(() => proxy.loseNextReply());
      return { record: record('one'), replayed: false };
    });
    assert.deepEqual(result, { answer: answer('one'), replayed: false });
    assert.equal((await two.layer.execute(once, never)).replayed, true);
    assert.deepEqual(errors, []);
  }
});

test('without records an answer whose claim the store lost is kept all the same', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  await one.layer.execute(once, async () => {
    await one.client.flushAll();
    return { record: record('one'), replayed: false };
  });
  assert.deepEqual(await two.layer.execute(once, never), { answer: answer('one'), replayed: true });
});

test('without records an answer is kept also when the process stood still for a lease', async () => {
  const leaseMs = 50;
  const [one, two] = [await redisLayer({ leaseMs }), await redisLayer()];
  const once = request();
  await one.layer.execute(once, async () => {
    const until = performance.now() + 2 * leaseMs;
    while (performance.now() < until);
    return { record: record('one'), replayed: false };
  });
  assert.deepEqual(await two.layer.execute(once, never), { answer: answer('one'), replayed: true });
});

test('without records an answer that cannot be kept is given, and told', async (t) => {
  const { layer, proxy, errors } = await proxiedLayer(t, { leaseMs: 400 }, 50);
  const once = request();
  const began = performance.now();
  const result = await layer.execute(once, async () => {
    await proxy.stop();
    return { record: record('one'), replayed: false };
  });
  const took = performance.now() - began;
  assert.ok(took > 200 && took < 5_000, `tried for ${took} ms`);
  assert.deepEqual(result, { answer: answer('one'), replayed: false });
  assert.match(String(errors.at(-1)), /not connected|within 50 ms/);
  assert.equal((await layer.execute(once, never)).replayed, true, 'this process remembers');
});

test('without records an answer never replaces that of who took the claim', async () => {
  const errors: unknown[] = [];
  const { layer, claims, client } = await redisLayer({
    onClaimError: (error) => errors.push(error),
  });
  const once = request();
  const taker = { ...once, owner: 'y'.repeat(24) };
  const result = await layer.execute(once, async () => {
    await client.del(`idempotency:{t1}:${once.key}`);
    await claims.claim(taker, 60_000);
    return { record: record('late'), replayed: false };
  });
  assert.deepEqual(result.answer, answer('late'));
  assert.match(String(errors[0]), /claim was lost before its answer was kept/);
  assert.equal(await claims.complete(taker, record('taken over'), 60_000), true);
});

for (const [how, onClaimError] of [
  ['throws', () => assert.fail('of the callback')],
  ['rejects', async () => assert.fail('of the callback')],
] as const) {
  test(`what onClaimError ${how} becomes a warning, and fails and repeats no request`, async (t) => {
    const gone = async () => {
      throw new Error('gone');
    };
    const asked = Promise.withResolvers<void>();
    const renew = () => gone().finally(asked.resolve);
    const failing = { complete: gone, settle: gone, release: gone, renew, peek: gone };
    const claims: ClaimStore = Object.assign(Object.create(memoryClaims()), failing);
    const told = t.mock.method(process, 'emitWarning', () => {});
    const layer = layerOn(claims, { leaseMs: 60, onClaimError });
    const once = request();
    const renewed = async (): Promise<RunResult> => {
      await asked.promise;
      return { record: record('one'), replayed: false };
    };
    assert.deepEqual((await layer.execute(once, renewed)).answer, answer('one'));
    assert.equal((await layer.execute(once, never)).replayed, true);
    const free = request();
    await layer.execute(free, async () => ({ unrecorded: answer('refused') }));
    assert.equal(await layer.state(free.scope, free.key), undefined);
    const records = { find: async () => undefined };
    await layerOn(claims, { records, onClaimError }).execute(request(), recorded('two'));
    // Of the renewal, the answer, the release, the look and what was settled.
    while (told.mock.callCount() < 5) await setImmediate();
    for (const { arguments: warned } of told.mock.calls) {
      assert.match(String(warned[0]), /of the callback/);
    }
  });
}

test('a local answer ends with its record, and with the cache time', async () => {
  for (const [expiresAt, answerCacheMs] of [
    [Date.now() - 1, 60_000],
    [Date.now() + 60_000, 0],
  ] as const) {
    const records = { find: async () => undefined };
    const layer = layerOn(memoryClaims(), { answerCacheMs, records });
    const once = request();
    await layer.execute(once, async () => ({
      record: { ...record('short'), expiresAt },
      replayed: false,
    }));
    assert.equal((await layer.execute(once, recorded('new'))).replayed, false);
  }
});

test('the local cache keeps what was asked for again, and is bounded in bytes', async () => {
  const records = { find: async () => undefined };
  const claims = memoryClaims({ answerBytesMax: 0 });
  const layer = layerOn(claims, { recentBytesMax: 5_000, records });
  const [first, second] = [request(), request()];
  const found = (body: string) => async () => ({ record: record(body), replayed: true });
  await layer.execute(second, recorded('two'));
  assert.equal((await layer.execute(second, found('two'))).replayed, true);
  assert.equal((await layer.execute(second, never)).replayed, true);
  await layer.execute(first, found('one'));
  for (let i = 0; i < 5; i++) await layer.execute(request(), found('other'));
  await layer.execute(second, found('two'));
  assert.equal((await layer.execute(second, never)).replayed, true);
  assert.equal((await layer.execute(first, recorded('again'))).replayed, false);
});
