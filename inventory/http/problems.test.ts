import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { catalogue } from '../errors.ts';
import { listen, startApi, stock } from './testing/api.ts';
import { assertProblem, Caller, exchange, STATUS } from './testing/caller.ts';

const api = await startApi({ after });

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

const missing: [method: string, path: string][] = [
  ['GET', '/'],
  ['GET', '/v1'],
  ['GET', '/v2/stock'],
  ['GET', '/v1/stock/'],
  ['GET', '/v1/receipts'],
  ['PATCH', '/v1/products/P'],
  ['DELETE', '/v1/products/P'],
  ['PUT', '/v1/receipts'],
  ['POST', '/v1/stock'],
  ['OPTIONS', '/v1/receipts'],
  ['PROPFIND', '/v1/stock'],
  ['GET', '/problems/none'],
  ['GET', '/problems/__proto__'],
];
for (const [method, path] of missing) {
  test(`${method} ${path} is a not-found`, async () => {
    const { admin } = await api.tenant();
    assertProblem(await admin.send(method, path), 'not-found');
  });
}

test('a path that is no valid encoding is a problem like any other', async () => {
  const { admin } = await api.tenant();
  for (const path of ['/v1/products/%zz', '/v1/products/%ff%fe', '/%']) {
    const reply = await admin.get(path, { 'x-request-id': 'abc' });
    assertProblem(reply, 'validation-failed');
    assert.equal(reply.headers.get('x-request-id'), 'abc');
  }
});

test('a parameter beyond what routes take is a problem like any other', async () => {
  const { admin } = await api.tenant();
  const reply = await admin.get(`/v1/postings/${'x'.repeat(5000)}`);
  assert.ok(reply.status === 400 || reply.status === 404, reply.text);
  assert.equal(reply.headers.get('content-type'), 'application/problem+json');
});

test('HEAD answers as GET does, without the body', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const level = await writer.send('HEAD', '/v1/stock/W1/P');
  assert.deepEqual([level.status, level.text, level.headers.get('etag')], [200, '', '"1"']);
  assert.equal((await writer.send('HEAD', '/v1/receipts')).status, 404);
  assert.equal((await api.anonymous.send('HEAD', '/v1/stock')).status, 401);
});

for (const [what, bytes] of [
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['headers of 20 KB', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`],
  ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
] as const) {
  test(`a connection that sends ${what} is answered with a problem and closed`, async () => {
    const { port, hostname } = new URL(api.url);
    const answer = await exchange(Number(port), hostname, [bytes]);
    assert.match(answer, /^HTTP\/1.1 400 .*content-type: application\/problem\+json\r\n/is);
    assert.match(answer, /"code":"validation-failed"/);
    assert.match(answer, /^x-request-id: [\w-]{6,40}\r$/im);
  });
}

test('the catalogue has the codes of the specification, each with its status', () => {
  const statuses = Object.entries(catalogue).map(([code, { status }]) => [code, status]);
  assert.deepEqual(Object.fromEntries(statuses), STATUS);
});

for (const code of Object.keys(catalogue)) {
  test(`/problems/${code} explains it to anybody`, async () => {
    const reply = await api.anonymous.get(`/problems/${code}`);
    assert.equal(reply.status, 200);
    assert.partialDeepStrictEqual(reply.body, { code, status: STATUS[code] });
    assert.ok(reply.text.length > 100);
  });
}

test('a defect is a 500 that tells nothing of its inside, and the log has it', async (t) => {
  const { reader } = await api.tenant();
  const session = await api.session(t);
  await session.query('ALTER TABLE postings RENAME TO secret_name');
  const id = '00000000-0000-7000-8000-000000000000';
  const reply = await reader.get(`/v1/postings/${id}`, { 'x-request-id': 'find-me' });
  await session.query('ALTER TABLE secret_name RENAME TO postings');
  assertProblem(reply, 'internal-error');
  assert.doesNotMatch(reply.text, /postings|relation|SELECT|stack|\.ts|42P01/);
  assert.equal(reply.headers.get('x-request-id'), 'find-me');
  const line = api
    .logs()
    .split('\n')
    .find((each) => each.includes('"reqId":"find-me"'));
  assert.match(line ?? '', /42P01/);
});

test('a defect in a command leaves its key free', async (t) => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const session = await api.session(t);
  await session.query('ALTER TABLE movements RENAME TO secret_name');
  const reply = await writer.post('/v1/receipts', body, 'k');
  await session.query('ALTER TABLE secret_name RENAME TO movements');
  assertProblem(reply, 'internal-error');
  const again = await writer.did('/v1/receipts', body, 'k');
  assert.equal(again.headers.get('idempotent-replayed'), null);
  assert.equal(await writer.level('W1', 'P'), '11/0/11@2');
});

test('beyond its rate an API key is answered 429 with Retry-After, and its key is free', async (t) => {
  const { writer, reader } = await api.tenant();
  await stock(writer, 'P');
  const limited = await api.another(t, { rateLimitPerSecond: 2 });
  const burst = await Promise.all(
    Array.from({ length: 8 }, (_, i) => writer.at(limited).post('/v1/receipts', body, `k${i}`)),
  );
  const refused = burst.flatMap((reply, i) => (reply.status === 201 ? [] : [{ reply, i }]));
  assert.ok(refused.length > 0);
  for (const { reply, i } of refused) {
    assertProblem(reply, 'rate-limited');
    assert.equal(reply.headers.get('retry-after'), '1');
    assertProblem(await reader.get(`/v1/idempotency-keys/k${i}`), 'not-found');
  }
  // Another key of the same tenant has a rate of its own.
  assert.equal((await reader.at(limited).get('/v1/stock')).status, 200);
});

test('past the bound of its queue a command is answered 503 with Retry-After', async (t) => {
  const tenant = await api.tenant();
  const { writer } = tenant;
  await stock(writer, 'P');
  const full = writer.at(await api.another(t, { queueCommandsMax: 1 }));
  const session = await api.session(t);
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM levels WHERE tenant_id = $1 FOR UPDATE', [tenant.id]);
  const sent = Array.from({ length: 6 }, (_, i) => full.post('/v1/receipts', body, `k${i}`));
  const first = await Promise.race(sent);
  assertProblem(first, 'overloaded');
  assert.match(first.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  await session.query('ROLLBACK');
  const replies = await Promise.all(sent);
  const done = replies.filter(({ status }) => status === 201).length;
  assert.equal(await writer.level('W1', 'P'), `${10 + done}/0/${10 + done}@${1 + done}`);
  for (const [i, reply] of replies.entries()) {
    if (reply.status === 201) continue;
    assertProblem(reply, 'overloaded');
    const again = await writer.did('/v1/receipts', body, `k${i}`);
    assert.equal(again.headers.get('idempotent-replayed'), null);
  }
});

test('without a database everything but the process itself is 503 with Retry-After', async (t) => {
  const gone = { databaseUrl: 'postgres://onhand@127.0.0.1:1/none', redisUrl: undefined };
  const { url } = await listen(t, gone, {});
  const caller = new Caller(url, 'secret-of-nobody');
  for (const path of ['/v1/stock', '/readyz']) {
    const reply = await caller.get(path);
    assertProblem(reply, 'database-unavailable');
    assert.match(reply.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    assert.doesNotMatch(reply.text, /127\.0\.0\.1|ECONN/);
  }
  assertProblem(await caller.post('/v1/receipts', body), 'database-unavailable');
  assert.deepEqual((await caller.get('/healthz')).body as unknown, { status: 'ok' });
});

test('a request id is echoed when it is harmless, and made when it is not', async () => {
  const given = await api.anonymous.get('/healthz', { 'x-request-id': 'abc-123' });
  assert.equal(given.headers.get('x-request-id'), 'abc-123');
  for (const id of ['a b', 'x'.repeat(129), '{"a":1}']) {
    const made = await api.anonymous.get('/healthz', { 'x-request-id': id });
    assert.match(made.headers.get('x-request-id') ?? '', /^[\w-]{6,40}$/);
  }
});
