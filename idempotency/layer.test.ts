import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Answer, IdempotencyRecord } from './answer.ts';
import type { ClaimStore } from './claims/claim-store.ts';
import { memoryClaims } from './claims/memory.ts';
import { KeyReused, RequestInFlight } from './errors.ts';
import {
  createIdempotency,
  type Idempotency,
  type IdempotencyOptions,
  type KeyedRequest,
  type RunResult,
} from './layer.ts';
import { redisClaims } from './redis/claims.ts';
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

test('a reused key is refused before the records are asked', async () => {
  const find = async () => assert.fail('must not be asked');
  const [one, two] = [await redisLayer(), await redisLayer({ records: { find } })];
  const once = request();
  await one.claims.claim({ ...once, owner: 'x'.repeat(24) }, 60_000);
  await assert.rejects(two.layer.execute({ ...once, fingerprint: prints.b }, never), KeyReused);
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

test('state tells in-flight, completed and no effect', async () => {
  const find = async (_: string, key: string) => (key === 'old' ? record('old') : undefined);
  const [one, two] = [await redisLayer({ records: { find } }), await redisLayer()];
  const once = request();
  const open = gate<RunResult>();
  assert.equal(await one.layer.state(once.scope, once.key), undefined);
  const { first } = await begin(one.layer, once, open.promise);
  while ((await two.layer.state(once.scope, once.key)) !== 'in-flight') await setImmediate();
  assert.equal(await one.layer.state(once.scope, once.key), 'in-flight');
  open.resolve({ record: record('one'), replayed: false });
  await first;
  assert.deepEqual(await one.layer.state(once.scope, once.key), { completed: record('one') });
  while ((await two.layer.state(once.scope, once.key)) === 'in-flight') await setImmediate();
  assert.deepEqual(await two.layer.state(once.scope, once.key), { completed: record('one') });
  assert.deepEqual(await one.layer.state('t1', 'old'), { completed: record('old') });
});

test('closing releases the claims of requests that still run', async () => {
  const [one, two] = [await redisLayer(), await redisLayer()];
  const once = request();
  const open = gate<RunResult>();
  const { first } = await begin(one.layer, once, open.promise);
  await one.layer.close();
  assert.equal(await two.claims.peek(once.scope, once.key), undefined);
  open.resolve({ unrecorded: answer('stopped') });
  await first;
});

test('a local answer ends with its record, and with the cache time', async () => {
  for (const [expiresAt, answerCacheMs] of [
    [Date.now() - 1, 60_000],
    [Date.now() + 60_000, 0],
  ] as const) {
    const layer = layerOn(memoryClaims(), { answerCacheMs });
    const once = request();
    await layer.execute(once, async () => ({
      record: { ...record('short'), expiresAt },
      replayed: false,
    }));
    assert.equal((await layer.execute(once, recorded('new'))).replayed, false);
  }
});

test('the local cache is bounded in bytes', async () => {
  const layer = layerOn(memoryClaims({ answerBytesMax: 0 }), { recentBytesMax: 5_000 });
  const [first, second] = [request(), request()];
  await layer.execute(first, recorded('one'));
  for (let i = 0; i < 5; i++) await layer.execute(request(), recorded('other'));
  await layer.execute(second, recorded('two'));
  assert.equal((await layer.execute(second, never)).replayed, true);
  assert.equal((await layer.execute(first, recorded('again'))).replayed, false);
});
