import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { fingerprint, redisClaims } from '@onhand/idempotency';
import { createClient } from '@redis/client';
import type pg from 'pg';
import { databaseIdentity } from '../postgres/databaseIdentity.ts';
import { startApi, stock, type Tenant } from './testing/api.ts';
import { assertProblem, exchange } from './testing/caller.ts';

const waitMs = 400;
const api = await startApi({ after }, { idempotencyWaitMs: waitMs });

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

/** A tenant whose level of P in W1 is locked by somebody else until `release`. */
async function held(t: TestContext): Promise<Tenant & { release: () => Promise<pg.QueryResult> }> {
  const tenant = await api.tenant();
  await stock(tenant.writer, 'P');
  const session = await api.session(t);
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM levels WHERE tenant_id = $1 FOR UPDATE', [tenant.id]);
  return { ...tenant, release: () => session.query('ROLLBACK') };
}

async function isInFlight({ reader }: Tenant, key: string): Promise<void> {
  await waitFor(`${key} is in flight`, async () => {
    const { body: known } = await reader.get(`/v1/idempotency-keys/${key}`);
    return known.status === 'in-flight';
  });
}

test('a duplicate waits for the first and gets its bytes', async (t) => {
  const tenant = await held(t);
  const first = tenant.writer.post('/v1/receipts', body, 'k');
  await isInFlight(tenant, 'k');
  const duplicates = [1, 2, 3].map(() => tenant.writer.post('/v1/receipts', body, 'k'));
  await tenant.release();
  const { status, text } = await first;
  assert.equal(status, 201);
  for (const reply of await Promise.all(duplicates)) {
    assert.equal(reply.text, text);
    assert.equal(reply.status, 201);
    assert.equal(reply.headers.get('idempotent-replayed'), 'true');
  }
  assert.equal(await tenant.writer.level('W1', 'P'), '11/0/11@2');
});

test('a duplicate that waited its time is answered 409 with Retry-After', async (t) => {
  const tenant = await held(t);
  const elsewhere = tenant.writer.at(await api.another(t, {}));
  const first = tenant.writer.post('/v1/receipts', body, 'k');
  await isInFlight(tenant, 'k');
  for (const caller of [tenant.writer, elsewhere]) {
    const began = performance.now();
    const reply = await caller.post('/v1/receipts', body, 'k');
    assertProblem(reply, 'request-in-flight');
    assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    // The timers of two clocks differ by up to a millisecond.
    assert.ok(performance.now() - began >= waitMs - 1);
  }
  await tenant.release();
  const { text } = await first;
  const replay = await tenant.writer.post('/v1/receipts', body, 'k');
  assert.equal(replay.text, text);
});

test('another request with the key of one in flight is 422 at once, not 409', async (t) => {
  const tenant = await held(t);
  const elsewhere = tenant.writer.at(await api.another(t, {}));
  const first = tenant.writer.post('/v1/receipts', body, 'k');
  await isInFlight(tenant, 'k');
  for (const caller of [tenant.writer, elsewhere]) {
    const reply = await caller.post('/v1/receipts', { ...body, reference: 'other' }, 'k');
    assertProblem(reply, 'idempotency-key-reused');
  }
  await tenant.release();
  assert.equal((await first).status, 201);
});

test('a key in flight is told as in-flight without an answer, then as completed', async (t) => {
  const tenant = await held(t);
  const first = tenant.writer.post('/v1/receipts', body, 'k');
  await isInFlight(tenant, 'k');
  const known = await tenant.reader.get('/v1/idempotency-keys/k');
  assert.deepEqual(known.body as unknown, { key: 'k', status: 'in-flight' });
  await tenant.release();
  await first;
  const after_ = await tenant.reader.get('/v1/idempotency-keys/k');
  assert.equal(after_.body.status, 'completed');
});

test('a key is in flight elsewhere also when Redis has forgotten its claim', async (t) => {
  const tenant = await held(t);
  const other = tenant.writer.at(await api.another(t, {}));
  const first = other.post('/v1/receipts', body, 'k');
  const session = await api.session(t);
  await waitFor('its batch waits for the level', async () => {
    const { rows } = await session.query(
      `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return rows.length === 1;
  });
  await api.redis.flush();
  const { body: known } = await tenant.reader.get('/v1/idempotency-keys/k');
  assert.partialDeepStrictEqual(known, { status: 'in-flight' });
  await tenant.release();
  assert.equal((await first).status, 201);
  const { body: done } = await tenant.reader.get('/v1/idempotency-keys/k');
  assert.partialDeepStrictEqual(done, { status: 'completed' });
});

test('a key that nobody uses is not found, however many ask at once', async () => {
  const { reader } = await api.tenant();
  const asked = Array.from({ length: 20 }, () => reader.get('/v1/idempotency-keys/unused'));
  for (const reply of await Promise.all(asked)) assertProblem(reply, 'not-found');
});

test('a key of one tenant in flight does not hold up the same key of another', async (t) => {
  const [one, two] = [await held(t), await api.tenant()];
  await stock(two.writer, 'P');
  const first = one.writer.post('/v1/receipts', body, 'k');
  await isInFlight(one, 'k');
  await two.writer.did('/v1/receipts', body, 'k');
  await one.release();
  assert.equal((await first).status, 201);
});

test('a claim is renewed while its owner lives, longer than its lease', async (t) => {
  const tenant = await held(t);
  const owner = tenant.writer.at(await api.another(t, { claimLeaseMs: 500 }));
  const first = owner.post('/v1/receipts', body, 'k');
  await isInFlight(tenant, 'k');
  // Each waits 400 ms: the second ends after the lease that the owner began with.
  for (let i = 0; i < 2; i++) {
    assertProblem(await tenant.writer.post('/v1/receipts', body, 'k'), 'request-in-flight');
  }
  await tenant.release();
  assert.equal((await first).status, 201);
});

/** Leaves a claim as an owner does that is killed right after making it. */
async function claimAndDie(t: TestContext, scope: string, leaseMs: number): Promise<void> {
  const client = createClient({ socket: { path: api.redis.socketPath, tls: false } });
  await client.connect();
  t.after(() => client.destroy());
  const identity = await databaseIdentity(await api.session(t));
  const claims = redisClaims(client, { prefix: `idempotency:${identity}` });
  const print = fingerprint({ method: 'POST', path: '/v1/receipts', body });
  const claim = { scope, key: 'k', fingerprint: print, owner: 'dead'.repeat(6) };
  assert.equal((await claims.claim(claim, leaseMs)).state, 'claimed');
  await claims.close();
}

test('a claim whose owner died before the commit is taken over when its lease ends', async (t) => {
  const { id, writer } = await api.tenant();
  await stock(writer, 'P');
  await claimAndDie(t, id, 200);
  const began = performance.now();
  const reply = await writer.did('/v1/receipts', body, 'k');
  assert.equal(reply.headers.get('idempotent-replayed'), null);
  assert.ok(performance.now() - began > 100, 'it waited for the lease');
});

test('a claim whose owner died after the commit is answered from PostgreSQL at once', async (t) => {
  const { id, writer } = await api.tenant();
  await stock(writer, 'P');
  const first = await writer.did('/v1/receipts', body, 'k');
  await api.redis.flush();
  await claimAndDie(t, id, 60_000);
  const other = writer.at(await api.another(t, {}));
  const known = await other.get('/v1/idempotency-keys/k');
  assert.equal(known.body.status, 'completed');
  const reply = await other.post('/v1/receipts', body, 'k');
  assert.equal(reply.text, first.text);
  assert.equal(reply.headers.get('idempotent-replayed'), 'true');
});

test('what cannot be read behind a request is not taken for its answer', async (t) => {
  const tenant = await held(t);
  const { hostname, port } = new URL(api.url);
  const text = JSON.stringify(body);
  const head = [
    'POST /v1/receipts HTTP/1.1',
    'Host: x',
    `Authorization: Bearer ${tenant.writer.secret}`,
    'Idempotency-Key: k',
    'Content-Type: application/json',
    `Content-Length: ${text.length}`,
  ];
  const request = `${head.join('\r\n')}\r\n\r\n${text}`;
  const answer = exchange(Number(port), hostname, [request, '}}\r\n\r\n']);
  await isInFlight(tenant, 'k');
  await tenant.release();
  assert.match(await answer, /^HTTP\/1.1 201 .*\r\nconnection: close\r\n/is);
});
