import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock, type Tenant } from './testing/api.ts';
import { assertProblem, type Caller, type Reply } from './testing/caller.ts';
import { sentBodies } from './testing/sentBodies.ts';

const api = await startApi({ after });

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

async function stocked(): Promise<Tenant> {
  const tenant = await api.tenant();
  await stock(tenant.writer, 'P');
  return tenant;
}

/** Asserts that a reply repeats a first one: status, bytes and the headers that are recorded. */
function assertReplay(reply: Reply, first: Reply): void {
  assert.equal(reply.headers.get('idempotent-replayed'), 'true', reply.text);
  assert.equal(reply.status, first.status);
  assert.equal(reply.text, first.text);
  for (const name of ['location', 'content-type', 'etag']) {
    assert.equal(reply.headers.get(name), first.headers.get(name), name);
  }
  assert.equal(reply.headers.get('set-cookie'), null);
}

/** Forgets what this process remembers, as a restart of it and of Redis would. */
async function elsewhere(t: { after(f: () => void | Promise<void>): void }, caller: Caller) {
  await api.redis.flush();
  return caller.at(await api.another(t, {}));
}

test('a repeat is answered with the first answer and takes no effect', async (t) => {
  const { writer } = await stocked();
  const first = await writer.did('/v1/receipts', body, 'k');
  assert.equal(first.headers.get('idempotent-replayed'), null);
  assertReplay(await writer.post('/v1/receipts', body, 'k'), first);
  const other = await elsewhere(t, writer);
  assertReplay(await other.post('/v1/receipts', body, 'k'), first);
  assert.equal(await writer.level('W1', 'P'), '11/0/11@2');
});

const codes = (first: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${first}${i}`.padEnd(64, 'x'));

for (const [what, first, size] of [
  ['large answer', 'P', 200],
  ['large refusal', 'X', 300],
] as const) {
  test(`a ${what} is repeated as it was, and its repeats share the bytes`, async (t) => {
    const { id, writer } = await stocked();
    await (await api.session(t)).query(
      'INSERT INTO products (tenant_id, product) SELECT $1, unnest($2::text[])',
      [id, codes('P', 200)],
    );
    const lines = codes(first, size).map((product) => ({ product, quantity: 1 }));
    const large = { warehouse: 'W1', lines };
    const reply = await writer.post('/v1/receipts', large, 'k');
    assert.equal(reply.headers.get('content-length'), `${reply.text.length}`);
    const sent = sentBodies(t);
    for (let i = 0; i < 2; i++) assertReplay(await writer.post('/v1/receipts', large, 'k'), reply);
    const [one, two] = sent();
    assert.ok(Buffer.isBuffer(one) && one === two);
    const other = await elsewhere(t, writer);
    assertReplay(await other.post('/v1/receipts', large, 'k'), reply);
  });
}

test('the repeat of a reservation answers what it was, not what became of it', async () => {
  const { writer } = await stocked();
  const first = await writer.did('/v1/reservations', body, 'k');
  await writer.did(`/v1/reservations/${first.body.id}/release`);
  assertReplay(await writer.post('/v1/reservations', body, 'k'), first);
});

const shipAll = { warehouse: 'W1', lines: [{ product: 'P', quantity: 99 }] };
const refusals: [code: string, path: string, body: unknown][] = [
  ['insufficient-stock', '/v1/shipments', shipAll],
  ['unknown-product', '/v1/receipts', { ...body, lines: [{ product: 'X', quantity: 1 }] }],
  ['unknown-warehouse', '/v1/receipts', { ...body, warehouse: 'X' }],
  ['not-found', '/v1/postings/x/reverse', { reason: 'r' }],
  [
    'stock-changed',
    '/v1/counts',
    { warehouse: 'W1', lines: [{ product: 'P', counted: 1, expectedOnHand: 9 }] },
  ],
  [
    'quantity-overflow',
    '/v1/receipts',
    { ...body, lines: [{ product: 'P', quantity: Number.MAX_SAFE_INTEGER }] },
  ],
];
for (const [code, path, refused] of refusals) {
  test(`a decided ${code} is recorded, and repeated after its cause is gone`, async (t) => {
    const { writer } = await stocked();
    const first = await writer.post(path, refused, 'k');
    assertProblem(first, code);
    await writer.put('/v1/products/X');
    await writer.put('/v1/warehouses/X');
    await writer.did('/v1/counts', { warehouse: 'W1', lines: [{ product: 'P', counted: 9 }] });
    await writer.did('/v1/receipts', { ...body, lines: [{ product: 'P', quantity: 90 }] });
    assertReplay(await writer.post(path, refused, 'k'), first);
    const other = await elsewhere(t, writer);
    assertReplay(await other.post(path, refused, 'k'), first);
  });
}

test('member order and white space of the body do not matter, all else does', async (t) => {
  const { writer } = await stocked();
  const first = await writer.did('/v1/receipts', { ...body, reference: 'R' }, 'k');
  const reordered =
    ' { "reference":"\\u0052", "lines":[ {"quantity":1e0,\n"product":"P"} ], "warehouse":"W1" } ';
  assertReplay(await writer.post('/v1/receipts', reordered, 'k'), first);
  const others: [path: string, body: unknown][] = [
    ['/v1/receipts', body],
    ['/v1/receipts', { ...body, reference: 'r' }],
    ['/v1/receipts?dryRun=false', { ...body, reference: 'R' }],
    ['/v1/shipments', { ...body, reference: 'R' }],
  ];
  for (const caller of [writer, await elsewhere(t, writer)]) {
    for (const [path, changed] of others) {
      const reply = await caller.post(path, changed, 'k');
      assertProblem(reply, 'idempotency-key-reused');
      assert.equal(reply.headers.get('idempotent-replayed'), null);
    }
    // A mismatch changes nothing about the record.
    assertReplay(await caller.post('/v1/receipts', { ...body, reference: 'R' }, 'k'), first);
  }
  assert.equal(await writer.level('W1', 'P'), '11/0/11@2');
});

test('the id in the path is part of the request', async () => {
  const { writer } = await stocked();
  const ids = [];
  for (let i = 0; i < 2; i++) ids.push((await writer.did('/v1/reservations', body)).body.id);
  await writer.did(`/v1/reservations/${ids[0]}/ship`, {}, 'k');
  const reply = await writer.post(`/v1/reservations/${ids[1]}/ship`, {}, 'k');
  assertProblem(reply, 'idempotency-key-reused');
});

test('equal requests with different keys both take effect', async () => {
  const { writer } = await stocked();
  const [a, b] = [await writer.did('/v1/receipts', body), await writer.did('/v1/receipts', body)];
  assert.notEqual(a.body.id, b.body.id);
  assert.equal(await writer.level('W1', 'P'), '12/0/12@3');
});

test('a key belongs to its tenant, and to all API keys of it', async () => {
  const [one, two] = [await stocked(), await stocked()];
  const first = await one.writer.did('/v1/receipts', body, 'k');
  const other = await two.writer.did('/v1/receipts', body, 'k');
  assert.notEqual(other.body.id, first.body.id);
  assertReplay(await one.admin.post('/v1/receipts', body, 'k'), first);
  const third = await api.tenant();
  assertProblem(await third.reader.get('/v1/idempotency-keys/k'), 'not-found');
});

test('what is refused before the decision leaves the key free', async () => {
  const { writer, reader } = await stocked();
  const headers = { 'idempotency-key': 'k' };
  const type = { ...headers, 'content-type': 'text/plain' };
  const long = JSON.stringify({ ...body, note: 'x'.repeat(1024 * 1024) });
  const refused: [code: string, reply: Promise<Reply>][] = [
    ['validation-failed', writer.post('/v1/receipts', { ...body, lines: [] }, 'k')],
    ['validation-failed', writer.post('/v1/receipts', '{', 'k')],
    [
      'validation-failed',
      writer.post('/v1/transfers', { from: 'W1', to: 'W1', lines: body.lines }, 'k'),
    ],
    ['unauthenticated', api.anonymous.post('/v1/receipts', body, 'k')],
    ['forbidden', reader.post('/v1/receipts', body, 'k')],
    ['payload-too-large', writer.post('/v1/receipts', long, 'k')],
    ['unsupported-media-type', writer.send('POST', '/v1/receipts', { body, headers: type })],
  ];
  for (const [code, reply] of refused) assertProblem(await reply, code);
  assertProblem(await writer.get('/v1/idempotency-keys/k'), 'not-found');
  const first = await writer.did('/v1/receipts', body, 'k');
  assert.equal(first.headers.get('idempotent-replayed'), null);
});

for (const end of ['COMMIT', 'ROLLBACK'] as const) {
  test(`a key whose record a transaction is writing is in flight until its ${end}`, async (t) => {
    const { id, writer } = await stocked();
    const state = () => writer.get('/v1/idempotency-keys/k');
    const session = await api.session(t);
    await session.query('BEGIN');
    await session.query(
      `INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
       VALUES ($1, 'k', decode(repeat('00', 32), 'hex'), 201, '{}', '{}', now() + interval '1 day')`,
      [id],
    );
    assert.partialDeepStrictEqual((await state()).body, { key: 'k', status: 'in-flight' });
    const atOnce = state();
    await session.query(end);
    await atOnce;
    const known = await state();
    if (end === 'COMMIT') assert.partialDeepStrictEqual(known.body, { status: 'completed' });
    else assertProblem(known, 'not-found');
    const sql = "SELECT FROM idempotency_records WHERE scope = $1 AND key = 'k'";
    const { rows } = await session.query(sql, [id]);
    assert.equal(rows.length, end === 'COMMIT' ? 1 : 0, 'asking records nothing');
  });
}

test('a reused key leaves nothing behind for the request that reused it', async () => {
  const { writer } = await stocked();
  await writer.did('/v1/receipts', body, 'k');
  assertProblem(await writer.post('/v1/shipments', body, 'k'), 'idempotency-key-reused');
  const known = await writer.get('/v1/idempotency-keys/k');
  assert.equal(known.body.answer.body.type, 'receipt');
});

test('GET /v1/idempotency-keys/{key} tells the recorded answer, also of a refusal', async (t) => {
  const { writer, reader } = await stocked();
  const first = await writer.did('/v1/receipts', body, 'a/b?c');
  const refused = await writer.post('/v1/shipments', shipAll, 'refused');
  for (const caller of [reader, await elsewhere(t, reader)]) {
    const done = await caller.get(`/v1/idempotency-keys/${encodeURIComponent('a/b?c')}`);
    assert.equal(done.status, 200);
    assert.deepEqual(done.body as unknown, {
      key: 'a/b?c',
      status: 'completed',
      answer: {
        status: 201,
        headers: {
          location: first.headers.get('location'),
          'content-type': first.headers.get('content-type'),
        },
        body: first.body,
      },
    });
    const { answer } = (await caller.get('/v1/idempotency-keys/refused')).body;
    assert.equal(answer.status, 409);
    assert.deepEqual(answer.body, refused.body);
    assertProblem(await caller.get('/v1/idempotency-keys/unused'), 'not-found');
  }
});

test('after its retention a key is free again', async (t) => {
  const { writer, id } = await stocked();
  const first = await writer.did('/v1/receipts', body, 'k');
  const session = await api.session(t);
  const other = await elsewhere(t, writer);
  const { rows } = await session.query(
    `SELECT round(extract(epoch FROM expires_at - created_at) / 3600) AS hours
     FROM idempotency_records WHERE scope = $1 AND key = 'k'`,
    [id],
  );
  assert.equal(Number(rows[0].hours), 24);
  await session.query(
    `UPDATE idempotency_records SET expires_at = now() - interval '1 ms'
     WHERE scope = $1 AND key = 'k'`,
    [id],
  );
  assertProblem(await other.get('/v1/idempotency-keys/k'), 'not-found');
  const again = await other.did('/v1/receipts', body, 'k');
  assert.equal(again.headers.get('idempotent-replayed'), null);
  assert.notEqual(again.body.id, first.body.id);
  assert.equal(await other.level('W1', 'P'), '12/0/12@3');
});

test('a lapsed record that nobody has purged yet does not stand in the way', async (t) => {
  const { writer, id } = await stocked();
  const session = await api.session(t);
  // As an earlier process left it; this one purges at its start and then once a minute.
  await session.query(
    `INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
     VALUES ($1, 'lapsed', sha256('x'), 201, '{}', '{}', now() - interval '1 ms')`,
    [id],
  );
  const reply = await writer.did('/v1/receipts', body, 'lapsed');
  assert.equal(reply.headers.get('idempotent-replayed'), null);
  const known = await writer.get('/v1/idempotency-keys/lapsed');
  assert.deepEqual(known.body.answer.body, reply.body);
});

test('the answer and its record are one transaction: no posting is without its key', async (t) => {
  const { writer, id } = await stocked();
  await writer.did('/v1/receipts', body, 'k');
  const session = await api.session(t);
  const { rows } = await session.query(
    `SELECT p.xmin = r.xmin AS same FROM postings p, idempotency_records r
     WHERE p.tenant_id = $1 AND r.scope = $1 AND r.key = 'k'
       AND r.body::text IS NOT NULL AND position(p.posting_id::text IN convert_from(r.body, 'UTF8')) > 0`,
    [id],
  );
  assert.deepEqual(rows, [{ same: true }]);
});
