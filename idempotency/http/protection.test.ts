import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Answer } from '../answer.ts';
import type { ClaimStore } from '../claims/claim-store.ts';
import { memoryClaims } from '../claims/memory.ts';
import { ClaimsUnavailable } from '../errors.ts';
import { findRecordsSql } from '../postgres/find-records.ts';
import type { Query } from '../postgres/query.ts';
import { redisClaims } from '../redis/claims.ts';
import { RedisServer } from '../testing/redis-server.ts';
import { type Captured, type Incoming, Protection, type RequestIdempotency } from './protection.ts';

const incoming: Incoming = {
  method: 'POST',
  path: '/things',
  query: '',
  headers: { 'idempotency-key': 'k' },
  body: () => ({ json: { a: 1 } }),
  scope: 'one',
};
const captured: Captured = { status: 201, headers: {}, body: Buffer.from('done') };

async function deadStore(t: { after(fn: () => unknown): void }): Promise<ClaimStore> {
  const server = await RedisServer.start();
  const client = await server.client();
  t.after(async () => {
    client.destroy();
    await server.stop();
  });
  await server.kill();
  return redisClaims(client, { commandTimeoutMs: 50 });
}

test('without a database, a store that is gone answers 503 and runs nothing', async (t) => {
  const protection = new Protection({ singleTenant: true, claims: await deadStore(t) });
  t.after(() => protection.close());
  const run = () => assert.fail('must not run');
  await assert.rejects(protection.answer(incoming, run), {
    status: 503,
    code: 'idempotency-unavailable',
    retryAfterSeconds: 1,
  });
});

test('it runs unprotected only when told to fail open', async (t) => {
  const claims = await deadStore(t);
  const protection = new Protection({ singleTenant: true, claims, failOpen: true });
  t.after(() => protection.close());
  const outcome = await protection.answer(incoming, async (idempotency) => {
    assert.equal(idempotency, undefined);
    return captured;
  });
  assert.deepEqual(outcome, { fresh: captured });
  const query = async () => assert.fail('must not start');
  assert.throws(() => new Protection({ singleTenant: true, query, failOpen: true }), /failOpen/);
});

test('a handler whose own layer is unavailable is not run a second time', async (t) => {
  const protection = new Protection({ singleTenant: true, failOpen: true });
  t.after(() => protection.close());
  let runs = 0;
  const outcome = protection.answer(incoming, async () => {
    runs++;
    throw new ClaimsUnavailable(new Error('of another service'));
  });
  await assert.rejects(outcome, ClaimsUnavailable);
  assert.equal(runs, 1);
});

test('a key whose record ends before the lease does is free with it', async (t) => {
  const claims = memoryClaims();
  const settled: string[] = [];
  claims.settle = async (all) => void settled.push(...all.map(({ key }) => key));
  const query: Query = async () => ({ rows: [] });
  for (const retentionMs of [1_000, 60_000]) {
    const protection = new Protection({ singleTenant: true, claims, query, retentionMs });
    t.after(() => protection.close());
    for (const [by, handle] of [
      ['the layer', async () => captured],
      [
        'the handler',
        async (idempotency: RequestIdempotency | undefined) => {
          await idempotency?.record(query, { status: 201, body: 'done' });
          return captured;
        },
      ],
    ] as const) {
      const headers = { 'idempotency-key': `${by} ${retentionMs}`.replaceAll(' ', '-') };
      await protection.answer({ ...incoming, headers }, handle);
    }
    await setImmediate();
  }
  assert.deepEqual(settled, ['the-layer-60000', 'the-handler-60000']);
});

test('whose keys they are must be said, and must be a string', async (t) => {
  assert.throws(() => new Protection({}), /needs `scope`/);
  const protection = new Protection({ singleTenant: true });
  t.after(() => protection.close());
  const nameless = { ...incoming, scope: undefined as unknown as string };
  await assert.rejects(
    protection.answer(nameless, async () => captured),
    /must give a string/,
  );
});

test('methods are protected however they are written, and what is none is refused', async (t) => {
  const protection = new Protection({ singleTenant: true, methods: ['post', 'Put'] });
  t.after(() => protection.close());
  const covered = ['POST', 'PUT', 'PATCH'].map((method) => protection.covers(method));
  assert.deepEqual(covered, [true, true, false]);
  for (const method of ['POTS', 'POST ', '', undefined as unknown as string]) {
    const create = () => new Protection({ singleTenant: true, methods: [method] });
    assert.throws(create, /`methods` has .*, which is no HTTP method/, method);
  }
});

test('a handler cannot record without a database, nor more than can be kept', async (t) => {
  const protection = new Protection({ singleTenant: true });
  t.after(() => protection.close());
  const record = (settings: Protection) =>
    settings.answer(incoming, async (idempotency) => {
      await idempotency?.record(async () => [], { status: 201, body: 'x'.repeat(11) });
      return captured;
    });
  await assert.rejects(record(protection), /needs the `query` option/);
  const query = async () => [];
  const small = new Protection({ singleTenant: true, query, answerBytesMax: 10 });
  t.after(() => small.close());
  await assert.rejects(record(small), /more than 10 bytes/);
});

test('which statuses are recorded is a setting', async (t) => {
  for (const [recorded, runs] of [
    [undefined, 2],
    [() => true, 1],
  ] as const) {
    const protection = new Protection({ singleTenant: true, ...(recorded && { recorded }) });
    t.after(() => protection.close());
    let ran = 0;
    for (let i = 0; i < 2; i++) {
      await protection.answer(incoming, async () => {
        ran++;
        return { ...captured, status: 422 };
      });
    }
    assert.equal(ran, runs);
  }
});

test('an answer with headers too long to keep is delivered once, and never fails a later one', async (t) => {
  const server = await RedisServer.start();
  const client = await server.client();
  const protection = new Protection({ singleTenant: true, claims: redisClaims(client) });
  t.after(async () => {
    await protection.close();
    client.destroy();
    await server.stop();
  });
  const fresh = { ...captured, headers: { location: `/${'x'.repeat(70_000)}` } };
  assert.deepEqual(await protection.answer(incoming, async () => fresh), { fresh });
  const repeat = await protection.answer(incoming, () => assert.fail('must not run'));
  assert.ok('recorded' in repeat && repeat.replayed);
  assert.match(repeat.recorded.body.toString(), /answer-not-kept/);
  const next = { ...incoming, headers: { 'idempotency-key': 'next' } };
  assert.deepEqual(await protection.answer(next, async () => captured), {
    fresh: captured,
    answer: captured,
  });
});

test('what a handler recorded and rolled back is not what its client is told', async (t) => {
  // Nothing is ever committed: the record goes with its transaction.
  const query = async () => [];
  const protection = new Protection({ singleTenant: true, query, recorded: () => false });
  t.after(() => protection.close());
  for (let runs = 0; runs < 2; runs++) {
    const outcome = await protection.answer(incoming, async (idempotency) => {
      await idempotency?.record(query, { status: 201, body: 'charged' });
      return { ...captured, body: Buffer.from('refused') };
    });
    assert.ok('fresh' in outcome && !outcome.answer?.body.includes('charged'));
    assert.equal(outcome.fresh.body?.toString(), 'refused');
  }
});

/** A table of records that has what was inserted, whatever became of the transaction. */
function recordsTable(): Query {
  const rows: Record<string, unknown>[] = [];
  return async (sql, [, key, fingerprint, status, headers, base64]) => {
    if (sql === findRecordsSql) return rows;
    const body = Buffer.from(String(base64), 'base64');
    rows.push({ key, fingerprint, status, headers, body, expires_at: Date.now() + 60_000 });
    return [];
  };
}

for (const [what, theirs, status] of [
  ['request', { ...incoming, body: () => ({ json: { a: 2 } }) }, 201],
  ['status', incoming, 202],
] as const) {
  test(`who rolled back is not answered with the same body of another ${what} as its own`, async (t) => {
    const query = recordsTable();
    // Two processes whose claims do not meet.
    const one = new Protection({ singleTenant: true, query });
    const two = new Protection({ singleTenant: true, query });
    t.after(() => Promise.all([one.close(), two.close()]));
    const body = '{"ok":true}';
    const lost = one.answer(incoming, async (idempotency) => {
      // In a transaction that comes to nothing.
      await idempotency?.record(recordsTable(), { status: 201, body });
      await two.answer(theirs, async (idempotency) => {
        const answer = (await idempotency?.record(query, { status, body })) as Answer;
        return { ...answer };
      });
      throw new Error('the connection was lost before COMMIT');
    });
    if (what === 'request') {
      await assert.rejects(lost, { code: 'idempotency-key-reused', status: 422 });
    } else {
      const outcome = await lost;
      assert.ok('recorded' in outcome && outcome.replayed);
    }
  });
}
