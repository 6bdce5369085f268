import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { parseKeyText, parseKeyValue } from '@onhand/idempotency';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { listen, startApi, stock } from './testing/api.ts';
import { Caller, exchange, type Reply } from './testing/caller.ts';
import { Description } from './testing/described.ts';

const api = await startApi({ after }, { idempotencyWaitMs: 100 });
const description = await Description.of(api.anonymous);

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });
const nobody = '00000000-0000-7000-8000-000000000000';

/** Asserts the status as well: a test that gets another answer than it asked for proves nothing. */
function described(route: string, status: number, reply: Reply): Reply {
  assert.equal(reply.status, status, `${route} ${reply.text}`);
  description.assertDescribes(route, reply);
  return reply;
}

/** A path that exists, and names nothing that does. */
function pathOf(template: string): string {
  return template.replaceAll(/\{[^}]+\}/g, 'none');
}

test('commands answer as described: done, refused, repeated and as a dry run', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const held = (await writer.did('/v1/reservations', { ...p(2), ttlSeconds: 600 })).body.id;
  const posting = (await writer.did('/v1/receipts', p(1))).body.id;
  const of = (quantity: number, product = 'P') => ({ lines: [{ product, quantity }] });
  const reason = { reason: 'r' };
  const past = { expiresAt: '2020-01-01T00:00:00Z' };
  const count = { warehouse: 'W1', lines: [{ product: 'P', counted: 1, expectedOnHand: 99 }] };
  const steps: [path: string, body: unknown, status: number][] = [
    ['receipts', p(1), 201],
    ['receipts', { ...p(1), warehouse: 'W9' }, 404],
    ['receipts', { warehouse: 'W1', ...of(1, 'X') }, 404],
    ['receipts', p(Number.MAX_SAFE_INTEGER), 422],
    ['receipts', {}, 400],
    ['shipments', p(1), 201],
    ['shipments', p(99), 409],
    ['transfers', { from: 'W1', to: 'W2', ...of(1) }, 201],
    ['transfers', { from: 'W1', to: 'W2', ...of(99) }, 409],
    ['adjustments', { ...p(1), ...reason }, 400],
    ['counts', count, 409],
    ['reservations', { ...p(1), note: 'n', metadata: { a: 'b' } }, 201],
    ['reservations', { ...p(1), ...past }, 400],
    [`reservations/${held}/extend`, past, 400],
    [`reservations/${held}/extend`, { ttlSeconds: 900 }, 201],
    [`reservations/${nobody}/ship`, {}, 404],
    [`reservations/${held}/ship`, of(99), 409],
    [`reservations/${held}/ship`, of(1, 'X'), 404],
    [`reservations/${held}/ship`, of(1), 201],
    [`reservations/${held}/release`, undefined, 201],
    [`reservations/${held}/release`, undefined, 409],
    [`postings/${posting}/reverse`, reason, 201],
    [`postings/${posting}/reverse`, { reason: 'again' }, 409],
    [`postings/${nobody}/reverse`, reason, 404],
  ];
  for (const [index, [path, body, status]] of steps.entries()) {
    const route = `POST /v1/${path}`
      .replace(/(postings\/)[^/]+/, '$1{posting}')
      .replace(/(reservations\/)[^/]+/, '$1{reservation}');
    description.assertDescribes(route, await writer.post(`/v1/${path}?dryRun=true`, body));
    const first = described(route, status, await writer.post(`/v1/${path}`, body, `k${index}`));
    const again = described(route, status, await writer.post(`/v1/${path}`, body, `k${index}`));
    assert.equal(again.text, first.text);
  }
  described('POST /v1/receipts', 422, await writer.post('/v1/receipts', p(7), 'k0'));
  described('POST /v1/receipts', 400, await writer.post('/v1/receipts', p(7), '"'));
  described('POST /v1/receipts', 200, await writer.post('/v1/receipts?dryRun=true', p(1)));
});

test('a request in flight, and one past the rate of its key, are answered as described', async (t) => {
  const { id, writer, reader } = await api.tenant();
  await stock(writer, 'P');
  const session = await api.session(t);
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM levels WHERE tenant_id = $1 FOR UPDATE', [id]);
  const first = writer.post('/v1/receipts', p(1), 'k');
  await waitFor('it is in flight', async () => {
    const reply = await reader.get('/v1/idempotency-keys/k');
    description.assertDescribes('GET /v1/idempotency-keys/{key}', reply);
    return reply.body.status === 'in-flight';
  });
  const second = await writer.post('/v1/receipts', p(1), 'k');
  assert.match(described('POST /v1/receipts', 409, second).headers.get('retry-after') ?? '', /\d/);
  await session.query('ROLLBACK');
  await first;
  const limited = await api.another(t, { rateLimitPerSecond: 1 });
  for (const [path, real] of [
    ['/v1/stock', '/v1/stock'],
    ['/problems/{code}', '/problems/forbidden'],
  ] as const) {
    described(`GET ${path}`, 200, await reader.at(limited).get(real));
    const burst = await Promise.all([1, 2, 3].map(() => reader.at(limited).get(real)));
    const refused = burst.find(({ status }) => status === 429);
    described(`GET ${path}`, 429, refused as Reply);
  }
  for (const path of ['/healthz', '/readyz']) {
    const burst = await Promise.all([1, 2, 3].map(() => limited.get(path)));
    for (const reply of burst) described(`GET ${path}`, 200, reply);
    assert.equal(description.paths[path]?.get?.responses[429], undefined);
  }
});

test('reads, the catalogue and batches answer as described', async () => {
  const { writer, admin } = await api.tenant();
  const product = 'PUT /v1/products/{code}';
  described(product, 201, await writer.put('/v1/products/P'));
  described(product, 200, await writer.put('/v1/products/P', { name: 'A product' }));
  await stock(writer, 'P');
  const { body: held } = await writer.did('/v1/reservations', p(1), 'k');
  const level = 'GET /v1/stock/{warehouse}/{product}';
  const etag = described(level, 200, await writer.get('/v1/stock/W1/P')).headers.get('etag') ?? '';
  described(level, 304, await writer.get('/v1/stock/W1/P', { 'if-none-match': etag }));
  described(level, 404, await writer.get('/v1/stock/W9/P'));
  const { parameters = [] } = description.paths['/v1/stock/{warehouse}/{product}']?.get ?? {};
  assert.ok(
    parameters.some(({ in: where, name }) => `${where} ${name}` === 'header If-None-Match'),
  );
  const reads = {
    '/v1/warehouses': '/v1/warehouses',
    '/v1/warehouses/{code}': '/v1/warehouses/W1',
    '/v1/products': '/v1/products',
    '/v1/products/{code}': '/v1/products/P',
    '/v1/stock': '/v1/stock',
    '/v1/movements': '/v1/movements',
    '/v1/postings/{posting}': `/v1/postings/${held.posting.id}`,
    '/v1/reservations': '/v1/reservations?limit=1',
    '/v1/reservations/{reservation}': `/v1/reservations/${held.id}`,
    '/v1/idempotency-keys/{key}': '/v1/idempotency-keys/k',
    '/v1/locks': '/v1/locks',
    '/v1/verify': '/v1/verify',
    '/healthz': '/healthz',
    '/readyz': '/readyz',
    '/metrics': '/metrics',
    '/problems/{code}': '/problems/forbidden',
  };
  for (const [path, real] of Object.entries(reads)) {
    described(`GET ${path}`, 200, await admin.get(real));
  }
  const commands = [{ type: 'receipt', idempotencyKey: 'b', ...p(1) }, { type: 'theft' }];
  described('POST /v1/batches', 200, await writer.post('/v1/batches', { commands }));
});

test('every route describes how it refuses', async () => {
  const { reader, admin } = await api.tenant();
  for (const [method, path, operation] of description.operations()) {
    const route = `${method} ${path}`;
    const real = pathOf(path);
    const { responses, requestBody, security } = operation;
    if (security !== undefined) {
      described(route, 401, await api.anonymous.send(method, real));
      described(
        route,
        400,
        await admin.send(method, `${real}?nonsense=1`, { headers: { 'idempotency-key': 'k' } }),
      );
    }
    const role = await reader.send(method, real);
    description.assertDescribes(route, role);
    assert.equal(role.status === 403, '403' in responses, route);
    if (requestBody === undefined) continue;
    const text = { 'content-type': 'text/plain', 'idempotency-key': 'k' };
    described(route, 415, await admin.send(method, real, { body: 'x', headers: text }));
    described(route, 413, await admin.send(method, real, { body: `"${'x'.repeat(1 << 20)}"` }));
  }
  const answer = await exchange(Number(new URL(api.url).port), '127.0.0.1', [
    'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n',
  ]);
  assert.match(answer, /^HTTP\/1\.1 400/);
  assert.ok(description.paths['/healthz']?.get?.responses[400]);
});

test('Retry-After is described where the specification has it', () => {
  for (const [method, path, { responses }] of description.operations()) {
    for (const [status, { headers = {} }] of Object.entries(responses)) {
      if (!('Retry-After' in headers)) continue;
      assert.ok(['409', '429', '503'].includes(status), `${method} ${path} ${status}`);
    }
  }
});

test('a release that would overflow is answered as described, also again', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const held = (await writer.did('/v1/reservations', p(1))).body.id;
  const line = { product: 'P', quantity: Number.MAX_SAFE_INTEGER };
  const path = `/v1/reservations/${held}/release`;
  for (const replayed of [null, 'true']) {
    const reply = await writer.post(path, { lines: [line, line] }, 'k');
    described('POST /v1/reservations/{reservation}/release', 422, reply);
    assert.equal(reply.body.code, 'quantity-overflow');
    assert.equal(reply.headers.get('idempotent-replayed'), replayed);
  }
});

test('which expiries a command takes is described, and the example is one', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const held = (await writer.did('/v1/reservations', { ...p(1), ttlSeconds: 600 })).body.id;
  for (const [path, template, others] of [
    ['/v1/reservations', '/v1/reservations', p(1)],
    [`/v1/reservations/${held}/extend`, '/v1/reservations/{reservation}/extend', {}],
  ] as const) {
    const { requestBody } = description.paths[template]?.post ?? {};
    const schema = requestBody?.content['application/json']?.schema as ExpirySchema;
    const matches = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
    const expiresAt = schema.properties.expiresAt.examples[0];
    const ttlSeconds = 900;
    for (const expiry of [{}, { ttlSeconds }, { expiresAt }, { expiresAt, ttlSeconds }]) {
      const body = { ...others, ...expiry };
      const reply = await writer.post(path, body);
      assert.equal(reply.status, matches(body) ? 201 : 400, reply.text);
    }
  }
});

interface ExpirySchema {
  properties: { expiresAt: { examples: string[] } };
}

test('a body is required exactly where an absent one is refused', async () => {
  const { admin } = await api.tenant();
  const optional: string[] = [];
  for (const [method, path, { requestBody }] of description.operations()) {
    if (requestBody === undefined) continue;
    const headers = { 'idempotency-key': path.replaceAll(/\W/g, '-') };
    const { status, text } = await admin.send(method, pathOf(path), { headers });
    assert.equal(requestBody.required, status === 400, `${method} ${path} ${text}`);
    if (!requestBody.required) optional.push(`${method} ${path}`);
  }
  assert.deepEqual(optional.toSorted(), [
    'DELETE /v1/locks/{resource}',
    'POST /v1/reservations/{reservation}/release',
    'POST /v1/reservations/{reservation}/ship',
    'PUT /v1/products/{code}',
    'PUT /v1/warehouses/{code}',
  ]);
});

test('without its servers the service refuses as described', async (t) => {
  const gone = { databaseUrl: 'postgres://onhand@127.0.0.1:1/none', redisUrl: undefined };
  const { url } = await listen(t, gone, {});
  const caller = new Caller(url, 'secret-of-nobody');
  for (const [method, path, { security }] of description.operations()) {
    if (security === undefined && path !== '/readyz') continue;
    described(`${method} ${path}`, 503, await caller.send(method, pathOf(path)));
  }
  const { admin } = await api.tenant();
  await api.redis.stop();
  t.after(() => api.redis.restart());
  described('GET /v1/locks', 503, await admin.get('/v1/locks'));
});

test('a defect is answered as described', async (t) => {
  const { reader } = await api.tenant();
  const session = await api.session(t);
  await session.query('ALTER TABLE movements RENAME TO moved');
  const reply = await reader.get('/v1/movements');
  await session.query('ALTER TABLE moved RENAME TO movements');
  described('GET /v1/movements', 500, reply);
});

const keyText = (() => {
  const unit = fc.oneof(
    fc.constantFrom('"', '\\', ',', ' ', '\\"', '\\\\', 'é', '\u007f'),
    fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 1 }),
  );
  const inside = fc.array(unit, { maxLength: 5 }).map((units) => units.join(''));
  const long = fc.tuple(fc.constantFrom('k', '\\\\'), fc.integer({ min: 250, max: 260 }));
  const text = fc.oneof(
    inside,
    long.map(([one, times]) => one.repeat(times)),
  );
  return fc.oneof(
    text,
    text.map((each) => `"${each}"`),
  );
})();

test('the pattern of the key takes exactly the keys that the service takes', () => {
  const { parameters } = description.paths['/v1/receipts']?.post ?? {};
  const header = parameters?.find(({ name }) => name === 'Idempotency-Key');
  // HTTP takes the white space around a field away.
  const fields = keyText.filter((value) => value === value.trim());
  assertTakesAlike(header?.schema, parseKeyValue, fields);
  const { requestBody } = description.paths['/v1/batches']?.post ?? {};
  const body = requestBody?.content['application/json']?.schema as unknown as BatchSchema;
  const { idempotencyKey } = body.properties.commands.items.properties;
  assertTakesAlike(idempotencyKey, parseKeyText, keyText);
});

interface BatchSchema {
  properties: { commands: { items: { properties: { idempotencyKey: object } } } };
}

function assertTakesAlike(
  schema: unknown,
  parse: (key: string) => string,
  keys: fc.Arbitrary<string>,
): void {
  const matches = new Ajv2020().compile(schema as object);
  const takes = (key: string) => {
    try {
      parse(key);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(keys, (key) => assert.equal(matches(key), takes(key))),
    { numRuns: 2_000 },
  );
}

test('the commands of a batch name their types and need a type and a key', () => {
  const body = description.paths['/v1/batches']?.post?.requestBody?.content['application/json'];
  const matches = new Ajv2020({ strict: false, validateFormats: false }).compile(
    body?.schema as object,
  );
  const command = { type: 'receipt', idempotencyKey: 'k', ...p(1) };
  const { type, ...untyped } = command;
  const { idempotencyKey, ...keyless } = command;
  const others = [
    untyped,
    keyless,
    { ...command, type: `${type}s` },
    { ...command, idempotencyKey: '' },
  ];
  assert.ok(matches({ commands: [command, { ...command, idempotencyKey }] }));
  for (const other of others) assert.ok(!matches({ commands: [other] }), JSON.stringify(other));
});
