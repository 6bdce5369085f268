import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClaimStore } from '../claims/claim-store.ts';
import { redisClaims } from '../redis/claims.ts';
import { RedisServer } from '../testing/redis-server.ts';
import { type Captured, type Incoming, Protection } from './protection.ts';

const incoming: Incoming = {
  method: 'POST',
  path: '/things',
  query: '',
  headers: { 'idempotency-key': 'k' },
  body: { json: { a: 1 } },
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
