import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import fc from 'fast-check';
import { waitingSessions } from '../testing/pipelineRig.ts';
import { BatchAnswers, type EntryAnswer } from './batchAnswers.ts';
import { startApi, stock, type Tenant } from './testing/api.ts';
import { assertFaults, assertProblem, type Caller } from './testing/caller.ts';

const api = await startApi({ after });

async function stocked(...products: string[]): Promise<Tenant> {
  const tenant = await api.tenant();
  await stock(tenant.writer, ...products);
  return tenant;
}

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });
const receipt = (idempotencyKey: string, quantity = 1) => ({
  type: 'receipt',
  idempotencyKey,
  ...p(quantity),
});

function send(writer: Caller, ...commands: unknown[]) {
  return writer.send('POST', '/v1/batches', { body: { commands } });
}

test('a batch answers 200 with one result per command, in order, whatever becomes of each', async () => {
  const { writer } = await stocked('P');
  const reply = await send(
    writer,
    receipt('a', 5),
    { ...receipt('b', 100), type: 'shipment' },
    { type: 'shipment', idempotencyKey: 'c', warehouse: 'W9', lines: p(1).lines },
    { ...receipt('d'), lines: [] },
    { ...receipt('e', 15), type: 'shipment' },
  );
  assert.equal(reply.status, 200);
  assert.match(reply.headers.get('content-type') ?? '', /^application\/json/);
  const { results } = reply.body;
  assert.deepEqual(
    results.map(({ status, body }) => [status, body.code ?? body.type]),
    [
      [201, 'receipt'],
      [409, 'insufficient-stock'],
      [404, 'unknown-warehouse'],
      [400, 'validation-failed'],
      [201, 'shipment'],
    ],
  );
  assert.partialDeepStrictEqual(results[1]?.body, {
    lines: [{ requested: 100, available: 15 }],
  });
  assert.equal(results[3]?.body.errors[0]?.path, '$.commands[3].lines');
  assert.equal(await writer.level('W1', 'P'), '0/0/0@3');
});

test('a batch takes a command of every type', async () => {
  const { writer } = await stocked('P');
  const { body: held } = await writer.did('/v1/reservations', { ...p(3), ttlSeconds: 60 });
  const { body: posting } = await writer.did('/v1/receipts', p(1));
  const { lines } = p(1);
  const reply = await send(
    writer,
    receipt('receipt'),
    { type: 'shipment', idempotencyKey: 'shipment', ...p(1) },
    { type: 'transfer', idempotencyKey: 'transfer', from: 'W1', to: 'W2', lines },
    {
      type: 'adjustment',
      idempotencyKey: 'adjustment',
      warehouse: 'W1',
      reason: 'r',
      lines: [{ product: 'P', change: 1 }],
    },
    {
      type: 'count',
      idempotencyKey: 'count',
      warehouse: 'W2',
      lines: [{ product: 'P', counted: 2 }],
    },
    { type: 'reservation', idempotencyKey: 'reservation', ...p(1) },
    { type: 'reservation-extend', idempotencyKey: 'extend', reservation: held.id, ttlSeconds: 999 },
    { type: 'reservation-ship', idempotencyKey: 'ship', reservation: held.id, lines },
    { type: 'reservation-release', idempotencyKey: 'release', reservation: held.id },
    { type: 'reversal', idempotencyKey: 'reversal', posting: posting.id, reason: 'r' },
  );
  const { results } = reply.body;
  assert.deepEqual(
    results.map(({ status }) => status),
    Array.from({ length: 10 }, () => 201),
    reply.text,
  );
  assert.equal(results[8]?.body.status, 'closed');
  assert.equal(results[9]?.body.type, 'reversal');
});

test('a key is one key in a batch and on its own route, with the same bytes', async () => {
  const { writer } = await stocked('P');
  const { body: held } = await writer.did('/v1/reservations', p(3));
  const alone = await writer.did('/v1/receipts', p(1), 'alone');
  const shipped = await writer.did(`/v1/reservations/${held.id}/ship`, {}, 'ship');
  const batch = await send(
    writer,
    receipt('alone'),
    { type: 'reservation-ship', idempotencyKey: 'ship', reservation: held.id },
    receipt('batch', 2),
  );
  const bytes = (text: string) => `{"status":201,"body":${text}}`;
  const later = await writer.post('/v1/receipts', p(2), 'batch');
  assert.equal(later.headers.get('idempotent-replayed'), 'true');
  assert.equal(later.status, 201);
  assert.equal(later.headers.get('location'), `/v1/postings/${later.body.id}`);
  const all = [alone, shipped, later].map(({ text }) => bytes(text));
  assert.equal(batch.text, `{"results":[${all.join(',')}]}`);
  assert.equal((await send(writer, receipt('batch', 2))).text, `{"results":[${all[2]}]}`);
  assert.equal(await writer.level('W1', 'P'), '10/0/10@5');
});

test('a key twice in a batch takes effect once; with another command it is a 422', async () => {
  const { writer } = await stocked('P');
  const { body } = await send(writer, receipt('k', 2), receipt('k', 2), receipt('k', 3));
  const [first, second, third] = body.results;
  assert.equal(first?.status, 201);
  assert.deepEqual(second, first);
  assert.equal(third?.status, 422);
  assert.equal(third?.body.code, 'idempotency-key-reused');
  assert.equal(await writer.level('W1', 'P'), '12/0/12@2');
});

test('any visible ASCII is the same key in a batch and in the quoted header', async () => {
  const { writer } = await stocked('P');
  const keys = ['a,b', 'a"b', '"', "!#$%&'()*+-./:;<=>?@[\\]^_`{|}~"];
  const { body } = await send(writer, ...keys.map((key) => receipt(key)));
  for (const [n, key] of keys.entries()) {
    const quoted = `"${key.replace(/["\\]/g, '\\$&')}"`;
    const alone = await writer.post('/v1/receipts', p(1), quoted);
    assert.equal(alone.headers.get('idempotent-replayed'), 'true', alone.text);
    assert.deepEqual(alone.body, body.results[n]?.body);
    assert.equal((await send(writer, receipt(quoted))).body.results[0]?.status, 201);
  }
  assert.equal(await writer.level('W1', 'P'), `${10 + keys.length}/0/${10 + keys.length}@5`);
});

test('one command is one request, however its path is written', async () => {
  const { writer } = await stocked('P');
  const held = (await writer.did('/v1/reservations', { ...p(4), ttlSeconds: 600 })).body;
  const first = await writer.did(`/v1/reservations/${held.id}/ship`, {}, 'ship');
  const upper = held.id.toUpperCase();
  const encoded = held.id.replaceAll('-', '%2D');
  const host = writer.url.replace('http:', 'HTTP:');
  for (const path of [
    `/v1/reservations/${upper}/ship`,
    `/v1/reservations/${encoded}/ship`,
    `/v1/%72eservations/${held.id}/ship`,
  ]) {
    const again = await writer.post(path, {}, 'ship');
    assert.equal(again.text, first.text, path);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
  }
  const head = `POST ${host}/v1/reservations/${held.id}/ship HTTP/1.1`;
  const raw = await writer.raw([head, 'Idempotency-Key: ship', 'Content-Length: 0']);
  assert.match(raw, /^HTTP\/1.1 201 .*idempotent-replayed: true/s);
  const batch = { type: 'reservation-ship', idempotencyKey: 'ship', reservation: upper };
  assert.equal(
    (await send(writer, batch)).text,
    `{"results":[{"status":201,"body":${first.text}}]}`,
  );
  const none = await writer.post('/v1/reservations/a%20$&/ship', {}, 'none');
  assert.equal(none.status, 404);
  for (const [reservation, status] of [
    ['a $&', 404],
    ['a {id}', 422],
  ] as const) {
    const alike = { type: 'reservation-ship', idempotencyKey: 'none', reservation };
    assert.equal((await send(writer, alike)).body.results[0]?.status, status);
  }
  assert.equal(await writer.level('W1', 'P'), '6/0/6@3');
});

test('a repeated batch is answered with the same bytes', async () => {
  const { writer } = await stocked('P');
  const commands = [receipt('a'), { ...receipt('b', 99), type: 'shipment' }, receipt('c')];
  const first = await send(writer, ...commands);
  await writer.did('/v1/receipts', p(100));
  assert.equal((await send(writer, ...commands)).text, first.text);
});

const wrong: [what: string, entry: unknown, code: string, path?: string][] = [
  ['without a key', { type: 'receipt', ...p(1) }, 'idempotency-key-missing'],
  ['with a number for a key', { ...receipt(''), idempotencyKey: 1 }, 'idempotency-key-invalid'],
  ['with an empty key', receipt(''), 'idempotency-key-invalid'],
  ['with a key that ends in a line break', receipt('k\n'), 'idempotency-key-invalid'],
  ['without a key and lines', { type: 'receipt', lines: [] }, 'idempotency-key-missing'],
  ['with a key of 256 characters', receipt('k'.repeat(256)), 'idempotency-key-invalid'],
  ['of an unknown type', { ...receipt('k'), type: 'theft' }, 'validation-failed', '.type'],
  ['of type __proto__', { ...receipt('k'), type: '__proto__' }, 'validation-failed', '.type'],
  ['of type expiry', { ...receipt('k'), type: 'expiry' }, 'validation-failed', '.type'],
  ['without a type', { idempotencyKey: 'k', ...p(1) }, 'validation-failed', '.type'],
  ['with an unknown field', { ...receipt('k'), x: 1 }, 'validation-failed', '.x'],
  ['with a quantity of 0', receipt('k', 0), 'validation-failed', '.lines[0].quantity'],
  [
    'between one and the same warehouse',
    { type: 'transfer', idempotencyKey: 'k', from: 'W1', to: 'W1', lines: p(1).lines },
    'validation-failed',
    '.to',
  ],
  [
    'without its reservation',
    { type: 'reservation-ship', idempotencyKey: 'k' },
    'validation-failed',
    '.reservation',
  ],
  [
    'with a number for its posting',
    { type: 'reversal', idempotencyKey: 'k', posting: 1, reason: 'r' },
    'validation-failed',
    '.posting',
  ],
  [
    'on a posting that does not exist',
    { type: 'reversal', idempotencyKey: 'k', posting: 'a\u0000b', reason: 'r' },
    'not-found',
  ],
];
for (const [what, entry, code, path] of wrong) {
  test(`a command ${what} fails alone`, async () => {
    const { writer } = await stocked('P');
    const { body } = await send(writer, receipt('before'), entry, receipt('after'));
    assert.deepEqual(
      body.results.map(({ status }) => status >= 400),
      [false, true, false],
    );
    const problem = body.results[1]?.body;
    assert.equal(problem?.code, code);
    assert.equal(problem?.type, `/problems/${code}`);
    if (path) {
      const pointer = `/commands/1${path.replaceAll('.', '/').replace('[0]', '/0')}`;
      assert.partialDeepStrictEqual(problem?.errors[0], { path: `$.commands[1]${path}`, pointer });
    }
    assert.equal(await writer.level('W1', 'P'), '12/0/12@3');
  });
}

test('1,000 commands are a batch, none and 1,001 are not', async () => {
  const { writer } = await stocked('P');
  const commands = Array.from({ length: 1001 }, (_, i) => receipt(`k${i}`));
  assertFaults(await send(writer, ...commands), '$.commands');
  assertFaults(await send(writer), '$.commands');
  assert.equal(await writer.level('W1', 'P'), '10/0/10@1');
  const { body } = await send(writer, ...commands.slice(1));
  assert.equal(body.results.length, 1000);
  assert.ok(body.results.every(({ status }) => status === 201));
  assert.equal(await writer.level('W1', 'P'), '1010/0/1010@1001');
});

test('answers beyond 32 MiB are left out, and told to whoever asks again', async (t) => {
  const { id, writer } = await stocked();
  const lines = Array.from({ length: 300 }, (_, i) => ({
    product: `P${i}`.padEnd(64, 'x'),
    quantity: 1,
  }));
  await (await api.session(t)).query(
    'INSERT INTO products (tenant_id, product) SELECT $1, unnest($2::text[])',
    [id, lines.map(({ product }) => product)],
  );
  await writer.did('/v1/receipts', { warehouse: 'W1', lines });
  const held = await writer.did('/v1/reservations', { warehouse: 'W1', lines, ttlSeconds: 600 });
  const extend = (idempotencyKey: string, ttlSeconds: number) => ({
    type: 'reservation-extend',
    idempotencyKey,
    reservation: held.body.id,
    ttlSeconds,
  });
  const once = Array.from({ length: 999 }, () => extend('once', 900));
  const later = once.map((_, i) => extend('none', 900 + i));
  const last = { type: 'receipt', idempotencyKey: 'last', warehouse: 'W1', lines: [lines[0]] };
  for (const [path, commands] of [
    ['/v1/batches', [...once, last]],
    ['/v1/batches?dryRun=true', [...later, last]],
  ] as const) {
    const reply = await writer.send('POST', path, { body: { commands } });
    assert.equal(reply.status, 200, reply.text.slice(0, 200));
    const { results } = reply.body;
    assert.equal(results.length, 1000);
    const end = results.findIndex(({ status }) => status !== 201);
    const sizes = results.map(({ body }) => JSON.stringify(body).length);
    const fitting = sizes.slice(0, end).reduce((sum, size) => sum + size, 0);
    assert.ok(fitting <= 2 ** 25 && fitting + (sizes[0] ?? 0) > 2 ** 25, `${fitting}`);
    for (const { status, body } of results.slice(end)) {
      assert.deepEqual([status, body.code, body.status], [503, 'overloaded', 503]);
    }
  }
  const asked = await writer.did('/v1/receipts', { warehouse: 'W1', lines: [lines[0]] }, 'last');
  assert.equal(asked.headers.get('idempotent-replayed'), 'true');
});

test('which answers fit does not depend on which command settles first', () => {
  const answers = [3, 1, 2, 4, 1].map((size, at) => ({
    status: 201,
    body: Buffer.from(`${at}`.repeat(size)),
  }));
  const inOrder = (order: readonly number[]) => {
    const batch = new BatchAnswers(answers.length, 7);
    for (const at of order) batch.set(at, answers[at] as EntryAnswer);
    return batch.toJson().toString();
  };
  const first = inOrder([0, 1, 2, 3, 4]);
  assert.match(first, /^\{"results":\[\{"status":201,"body":000\},\{"status":201,"body":1\},/);
  assert.equal(first.match(/"status":201,/g)?.length, 3);
  assert.equal(first.match(/"code":"overloaded"/g)?.length, 2);
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5 }), (order) =>
      assert.equal(inOrder(order), first),
    ),
  );
});

test('a batch of what is no list of objects is a 400', async () => {
  const { writer } = await stocked();
  for (const commands of [null, {}, 'x', [1], [null], [[]]]) {
    const reply = await writer.send('POST', '/v1/batches', { body: { commands } });
    assertProblem(reply, 'validation-failed');
  }
  const extra = { body: { commands: [receipt('k')], atomic: true } };
  assertFaults(await writer.send('POST', '/v1/batches', extra), '$.atomic');
});

for (const allowBackorder of [true, false]) {
  const which = allowBackorder ? 'that may be sold below zero' : 'that another instance receives';
  test(`a product ${which}, registered while a batch makes levels, fails no command`, async (t) => {
    const { id, writer } = await stocked('P');
    for (const warehouse of ['W2', 'W3']) await writer.put(`/v1/warehouses/${warehouse}`);
    await writer.put('/v1/products/L');
    // Holds the batch up where it makes the level of L, behind its look into the catalogue.
    const session = await api.session(t);
    await session.query('BEGIN');
    await session.query(
      `INSERT INTO levels (tenant_id, warehouse, product) VALUES ($1, 'W1', 'L')`,
      [id],
    );
    const of = (warehouse: string, product: string) => {
      const lines = [{ product, quantity: 1 }];
      const idempotencyKey = `${warehouse} ${product}`.replace(' ', '-');
      return { type: 'receipt', idempotencyKey, warehouse, lines };
    };
    const sent = send(writer, of('W1', 'L'), of('W1', 'N'), of('W2', 'N'), of('W3', 'X'));
    await waitFor('the batch waits', async () => (await waitingSessions(session)) === 1);
    await writer.put('/v1/products/N', { allowBackorder });
    const other = writer.at(await api.another(t, {}));
    const lines = [{ product: 'N', quantity: 1 }];
    if (!allowBackorder) await other.did('/v1/receipts', { warehouse: 'W1', lines });
    await session.query('ROLLBACK');
    const { results } = (await sent).body;
    assert.deepEqual(
      results.map(({ status, body }) => body.code ?? status),
      [201, 201, 201, 'unknown-product'],
    );
  });
}

test('a command of a batch that fails by a defect is in the log, under the request id', async (t) => {
  const { writer } = await stocked('P');
  const session = await api.session(t);
  await session.query(
    `ALTER TABLE movements ADD CONSTRAINT defect CHECK (on_hand_change <> 13) NOT VALID`,
  );
  const headers = { 'x-request-id': 'find-this' };
  const commands = [receipt('fine', 1), receipt('broken', 13)];
  const reply = await writer.send('POST', '/v1/batches', { body: { commands }, headers });
  await session.query('ALTER TABLE movements DROP CONSTRAINT defect');
  assert.deepEqual(
    reply.body.results.map(({ status, body }) => [status, body.code ?? body.type]),
    [
      [201, 'receipt'],
      [500, 'internal-error'],
    ],
  );
  const line = api
    .logs()
    .split('\n')
    .find((each) => each.includes('"reqId":"find-this"'));
  assert.match(line ?? '', /"entry":1.*23514|23514.*"entry":1/);
});
