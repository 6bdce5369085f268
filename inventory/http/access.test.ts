import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { revokeApiKey } from '../postgres/apiKeys.ts';
import { startApi, stock } from './testing/api.ts';
import { assertProblem, Caller } from './testing/caller.ts';

const api = await startApi({ after });

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });

type Least = 'reader' | 'writer' | 'admin';
const routes: [method: string, path: string, least: Least, body?: unknown][] = [
  ['GET', '/v1/warehouses', 'reader'],
  ['GET', '/v1/warehouses/W1', 'reader'],
  ['GET', '/v1/products', 'reader'],
  ['GET', '/v1/products/P', 'reader'],
  ['GET', '/v1/stock', 'reader'],
  ['GET', '/v1/stock/W1/P', 'reader'],
  ['GET', '/v1/movements', 'reader'],
  ['GET', '/v1/postings/x', 'reader'],
  ['GET', '/v1/reservations', 'reader'],
  ['GET', '/v1/reservations/x', 'reader'],
  ['GET', '/v1/idempotency-keys/x', 'reader'],
  ['PUT', '/v1/warehouses/W1', 'writer'],
  ['PUT', '/v1/products/P', 'writer'],
  ['POST', '/v1/receipts', 'writer', p(1)],
  ['POST', '/v1/shipments', 'writer', p(1)],
  ['POST', '/v1/transfers', 'writer', { from: 'W1', to: 'W2', lines: p(1).lines }],
  [
    'POST',
    '/v1/adjustments',
    'writer',
    { warehouse: 'W1', reason: 'r', lines: [{ product: 'P', change: 1 }] },
  ],
  ['POST', '/v1/counts', 'writer', { warehouse: 'W1', lines: [{ product: 'P', counted: 1 }] }],
  ['POST', '/v1/reservations', 'writer', p(1)],
  ['POST', '/v1/reservations/x/ship', 'writer', {}],
  ['POST', '/v1/reservations/x/release', 'writer', {}],
  ['POST', '/v1/reservations/x/extend', 'writer', { ttlSeconds: 1 }],
  ['POST', '/v1/postings/x/reverse', 'writer', { reason: 'r' }],
  ['POST', '/v1/batches', 'writer', { commands: [{}] }],
  ['GET', '/v1/verify', 'admin'],
  ['GET', '/v1/locks', 'admin'],
  ['DELETE', '/v1/locks/x', 'admin'],
];

const RANK = { reader: 0, writer: 1, admin: 2 };

for (const [method, path, least, body] of routes) {
  test(`${method} ${path} needs the role ${least}`, async () => {
    const tenant = await api.tenant();
    await stock(tenant.writer, 'P');
    const headers = { 'idempotency-key': 'k' };
    const anonymous = await api.anonymous.send(method, path, { body, headers });
    assertProblem(anonymous, 'unauthenticated');
    assert.equal(anonymous.headers.get('www-authenticate'), 'Bearer');
    for (const role of ['reader', 'writer', 'admin'] as const) {
      const reply = await tenant[role].send(method, path, { body, headers });
      if (RANK[role] < RANK[least]) assertProblem(reply, 'forbidden');
      else assert.ok(![401, 403].includes(reply.status), reply.text);
    }
  });
}

test('every route of the API is in the table above, or needs no key', async () => {
  const { body } = await api.anonymous.get('/openapi.json');
  const { paths } = body as unknown as { paths: Record<string, Record<string, object>> };
  const pattern = (path: string) => new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const isListed = routes.some(
        ([verb, known]) => verb.toLowerCase() === method && pattern(path).test(known),
      );
      assert.equal('security' in operation, path.startsWith('/v1/'), `${method} ${path}`);
      assert.equal(isListed, path.startsWith('/v1/'), `${method} ${path}`);
    }
  }
});

for (const [what, authorization] of [
  ['of another scheme', 'Basic dXNlcjpwYXNz'],
  ['without a secret', 'Bearer'],
  ['with an unknown secret', 'Bearer nobody-knows-this'],
  ['with two secrets', 'Bearer a b'],
  ['of 10,000 characters', `Bearer ${'x'.repeat(10_000)}`],
] as const) {
  test(`an Authorization header ${what} is a 401`, async () => {
    const reply = await api.anonymous.get('/v1/stock', { authorization });
    assertProblem(reply, 'unauthenticated');
    assert.equal(reply.headers.get('www-authenticate'), 'Bearer');
  });
}

test('the scheme is not case-sensitive', async () => {
  const { reader } = await api.tenant();
  const authorization = `bearer ${reader.secret}`;
  assert.equal((await api.anonymous.get('/v1/stock', { authorization })).status, 200);
});

test('a revoked key is refused', async () => {
  const { id, reader } = await api.tenant();
  assert.equal(await revokeApiKey(api.service.database.writes, id, 'reader'), true);
  assertProblem(await reader.get('/v1/stock'), 'unauthenticated');
});

test('a tenant sees nothing of another, by list or by id, and changes nothing of it', async () => {
  const [one, two] = [await api.tenant(), await api.tenant()];
  await stock(one.writer, 'P');
  const { body: posting } = await one.writer.did('/v1/receipts', p(1), 'theirs');
  const { body: held } = await one.writer.did('/v1/reservations', p(1));
  for (const list of ['warehouses', 'products', 'stock', 'movements', 'reservations']) {
    assert.deepEqual((await two.admin.get(`/v1/${list}`)).body.items, [], list);
  }
  const query = `warehouse=W1&product=P&posting=${posting.id}`;
  assert.deepEqual((await two.admin.get(`/v1/movements?${query}`)).body.items, []);
  const ids: [path: string, code: string][] = [
    ['/v1/warehouses/W1', 'unknown-warehouse'],
    ['/v1/products/P', 'unknown-product'],
    ['/v1/stock/W1/P', 'unknown-warehouse'],
    [`/v1/postings/${posting.id}`, 'not-found'],
    [`/v1/reservations/${held.id}`, 'not-found'],
    ['/v1/idempotency-keys/theirs', 'not-found'],
  ];
  for (const [path, code] of ids) assertProblem(await two.admin.get(path), code);
  const commands: [path: string, body: unknown][] = [
    [`/v1/reservations/${held.id}/ship`, {}],
    [`/v1/reservations/${held.id}/release`, {}],
    [`/v1/reservations/${held.id}/extend`, { ttlSeconds: 9 }],
    [`/v1/postings/${posting.id}/reverse`, { reason: 'r' }],
  ];
  for (const [path, body] of commands) assertProblem(await two.admin.post(path, body), 'not-found');
  assert.deepEqual((await two.admin.get('/v1/verify')).body as unknown, {
    valid: true,
    levels: 0,
    movements: 0,
    faults: [],
  });
  assert.equal(await one.reader.level('W1', 'P'), '11/1/10@3');
});

test('a cursor of one tenant leads another only through its own', async () => {
  const [one, two] = [await api.tenant(), await api.tenant()];
  await stock(one.writer, 'A', 'B');
  await stock(two.writer, 'B', 'C');
  const { next } = (await one.reader.get('/v1/stock?limit=1')).body;
  const { items } = (await two.reader.get(`/v1/stock?cursor=${next}`)).body;
  assert.deepEqual(
    items.map(({ product }) => product),
    ['B', 'C'],
  );
  assert.equal(await two.reader.level('W1', 'B'), '10/0/10@1');
});

test('two keys of one tenant see the same', async () => {
  const { writer, reader } = await api.tenant();
  await stock(writer, 'P');
  const other = new Caller(api.url, reader.secret);
  assert.equal(await other.level('W1', 'P'), '10/0/10@1');
});
