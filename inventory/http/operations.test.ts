import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { Validator } from '@seriousme/openapi-schema-validator';
import { startApi, stock } from './testing/api.ts';
import { exchange } from './testing/caller.ts';
import { sentBodies } from './testing/sentBodies.ts';

const api = await startApi({ after });

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

interface Operation {
  responses?: Record<string, unknown>;
  parameters?: { name: string; in: string; required?: boolean; schema?: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
}

interface Description {
  openapi: string;
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Operation>>;
}

async function describe(): Promise<Description> {
  return (await api.anonymous.get('/openapi.json')).body as unknown as Description;
}

/** The routes of the specification. */
const ROUTES = `
PUT /v1/warehouses/{} GET /v1/warehouses/{} GET /v1/warehouses
PUT /v1/products/{} GET /v1/products/{} GET /v1/products
POST /v1/receipts POST /v1/shipments POST /v1/transfers POST /v1/adjustments POST /v1/counts
POST /v1/reservations POST /v1/reservations/{}/ship POST /v1/reservations/{}/release
POST /v1/reservations/{}/extend POST /v1/postings/{}/reverse POST /v1/batches
GET /v1/stock GET /v1/stock/{}/{} GET /v1/movements GET /v1/postings/{} GET /v1/reservations/{}
GET /v1/reservations GET /v1/idempotency-keys/{} GET /v1/locks DELETE /v1/locks/{}
GET /v1/verify GET /healthz GET /readyz GET /metrics GET /problems/{}`;

test('the description is OpenAPI 3.1 and names every route of the specification', async () => {
  const { openapi, info, paths } = await describe();
  assert.match(openapi, /^3\.1\.\d+$/);
  assert.match(info.version, /^\d+\.\d+\.\d+/);
  assert.match(info.description, /24 h/);
  const found = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map(
      (method) => `${method.toUpperCase()} ${path.replaceAll(/\{[^}]+\}/g, '{}')}`,
    ),
  );
  const expected = ROUTES.trim()
    .replaceAll(/\s+(?=[A-Z])/g, '\n')
    .split('\n');
  assert.deepEqual(found.toSorted(), expected.toSorted());
});

test('the description is valid by the schema of OpenAPI', async () => {
  const result = await new Validator().validate((await describe()) as never);
  assert.deepEqual([result.valid, result.errors], [true, undefined]);
});

test('every operation declares its path parameters, answers and errors', async () => {
  const { paths } = await describe();
  for (const [path, operations] of Object.entries(paths)) {
    const named = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    for (const [method, operation] of Object.entries(operations)) {
      const at = `${method} ${path}`;
      const declared = (operation.parameters ?? []).filter((each) => each.in === 'path');
      assert.deepEqual(declared.map(({ name }) => name).toSorted(), named.toSorted(), at);
      assert.ok(
        declared.every(({ required }) => required === true),
        at,
      );
      assert.ok(Object.keys(operation.responses ?? {}).length > 0, at);
      if (method === 'post' || method === 'put') assert.ok(operation.requestBody, at);
    }
  }
});

test('every reference of the description leads somewhere', async () => {
  const { text, body: description } = await api.anonymous.get('/openapi.json');
  for (const [, pointer] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
    const target = (pointer as string)
      .slice(2)
      .split('/')
      .reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], description);
    assert.notEqual(target, undefined, pointer);
  }
});

test('commands describe the key that they need', async () => {
  const { paths } = await describe();
  const commands = Object.entries(paths).filter(([path, operations]) => {
    return operations.post !== undefined && path !== '/v1/batches';
  });
  assert.equal(commands.length, 10);
  for (const [path, { post }] of commands) {
    const header = post?.parameters?.find(({ in: where }) => where === 'header');
    assert.equal(header?.name.toLowerCase(), 'idempotency-key', path);
  }
});

test('/docs is a page that needs nothing from elsewhere to name the API', async () => {
  const redirected = await fetch(`${api.url}/docs`);
  assert.equal(redirected.status, 200);
  assert.match(redirected.headers.get('content-type') ?? '', /^text\/html/);
  const page = await redirected.text();
  assert.match(page, /openapi\.json/);
  for (const [, source] of page.matchAll(/<(?:script|link)[^>]+(?:src|href)="([^"]+)"/g)) {
    const at = new URL(source as string, redirected.url);
    assert.equal(at.host, new URL(api.url).host, source);
    assert.equal((await fetch(at)).status, 200, source);
  }
});

for (const path of ['/docs/', '/docs/js/scalar.js', '/openapi.json']) {
  test(`${path} is kept once, however many read it slowly`, async (t) => {
    const sent = sentBodies(t);
    for (let i = 0; i < 2; i++) assert.equal((await api.anonymous.get(path)).status, 200);
    const [first, second] = sent();
    assert.ok(Buffer.isBuffer(first));
    assert.ok(first === second);
  });
}

test('a Host that is no name makes no difference to /docs', async () => {
  const { port } = new URL(api.url);
  for (const path of ['/docs', '/docs/']) {
    const answer = await exchange(Number(port), '127.0.0.1', [
      `GET ${path} HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n`,
    ]);
    assert.match(answer, /^HTTP\/1\.1 (200|301) /);
  }
});

test('however many ask whether the service is ready, the database is asked once', async (t) => {
  const { database } = api.service;
  const checks = t.mock.method(database.lookups, 'query');
  const asked = Array.from({ length: 20 }, () => api.service.app.inject('/readyz'));
  assert.deepEqual(
    (await Promise.all(asked)).map(({ statusCode }) => statusCode),
    Array(20).fill(200),
  );
  assert.equal(checks.mock.callCount(), 1);
});

test('/healthz and /readyz need no key; without Redis the service is ready and degraded', async (t) => {
  assert.deepEqual((await api.anonymous.get('/healthz')).body as unknown, { status: 'ok' });
  const ready = async () => {
    const reply = await api.anonymous.get('/readyz');
    assert.equal(reply.status, 200, reply.text);
    return reply.body as unknown as { status: string; degraded: string[] };
  };
  assert.deepEqual(await ready(), { status: 'ready', degraded: [] });
  await api.redis.stop();
  t.after(() => api.redis.restart());
  await waitFor('it is degraded', async () => (await ready()).degraded[0] === 'redis');
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const first = await writer.did('/v1/receipts', body, 'k');
  assert.equal((await writer.post('/v1/receipts', body, 'k')).text, first.text);
});

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads the Prometheus text format, strictly. */
function samples(text: string): Sample[] {
  const found: Sample[] = [];
  for (const line of text.trimEnd().split('\n')) {
    if (line === '' || /^# (HELP|TYPE) [a-zA-Z_:][\w:]* \S/.test(line)) continue;
    const [, name, labels, value] =
      /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]?Inf|[-+.e\d]+)$/i.exec(line) ?? assert.fail(line);
    const pairs = [...(labels ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    found.push({
      name: name as string,
      labels: Object.fromEntries(pairs.map(([, label, text_]) => [label, text_])),
      value: Number(value?.replace('Inf', 'Infinity')),
    });
  }
  return found;
}

test('metrics parse, count what happened and name no secret, tenant, key or code', async () => {
  const { id, writer, admin } = await api.tenant();
  await stock(writer, 'P-SECRET');
  const line = { product: 'P-SECRET', quantity: 1 };
  const receipt = { warehouse: 'W1', lines: [line] };
  const count = async (name: string, labels: Record<string, string>) => {
    const reply = await api.anonymous.get('/metrics');
    assert.match(reply.headers.get('content-type') ?? '', /^text\/plain; version=/);
    const matching = samples(reply.text).filter(
      (each) =>
        each.name === name &&
        Object.entries(labels).every(([label, value]) => each.labels[label] === value),
    );
    return matching.reduce((sum, { value }) => sum + value, 0);
  };
  const answers = 'onhand_command_answers_total';
  const before = await count(answers, { type: 'receipt', replayed: 'true' });
  const refused = await count(answers, { type: 'shipment', code: 'insufficient-stock' });
  await writer.did('/v1/receipts', receipt, 'key-secret');
  await writer.post('/v1/receipts', receipt, 'key-secret');
  await writer.post('/v1/shipments', { ...receipt, lines: [{ ...line, quantity: 99 }] });
  await admin.get('/v1/unknown/path-secret');
  assert.equal(await count(answers, { type: 'receipt', replayed: 'true' }), before + 1);
  assert.equal(await count(answers, { type: 'shipment', code: 'insufficient-stock' }), refused + 1);
  assert.ok((await count('onhand_batch_commands_count', {})) > 0);
  for (const stage of ['load', 'decide', 'write']) {
    assert.ok((await count('onhand_batch_stage_seconds_count', { stage })) > 0, stage);
  }
  const ok = { route: '/v1/receipts', status: '201' };
  assert.ok((await count('onhand_http_request_seconds_count', ok)) > 0);
  assert.equal(await count('onhand_queue_commands', {}), 0);
  const { text } = await api.anonymous.get('/metrics');
  for (const secret of [id, writer.secret, admin.secret, 'key-secret', 'P-SECRET', 'path-secret']) {
    assert.ok(!text.includes(secret as string), secret);
  }
});

test('the log holds no API key, whatever happened', async (t) => {
  const { writer, admin } = await api.tenant();
  await stock(writer, 'P');
  await writer.post('/v1/receipts', '{');
  await admin.send('PATCH', '/nowhere');
  await admin.get('/v1/stock', { authorization: 'Bearer wrong-secret-0123456789' });
  const session = await api.session(t);
  await session.query('ALTER TABLE movements RENAME TO moved');
  const [read, write] = [await admin.get('/v1/movements'), await writer.post('/v1/receipts', body)];
  await session.query('ALTER TABLE moved RENAME TO movements');
  assert.deepEqual([read.status, write.status], [500, 500]);
  const logs = api.logs();
  assert.match(logs, /request failed/);
  for (const secret of [writer.secret, admin.secret, 'wrong-secret-0123456789']) {
    assert.ok(!logs.includes(secret as string));
  }
});
