import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startApi, stock } from './testing/api.ts';
import { assertFaults, assertProblem, exchange, type Reply } from './testing/caller.ts';

const api = await startApi({ after });
const tenant = await api.tenant();
const { writer } = tenant;
await stock(writer, 'P');

let movements = 1;

/** Whatever was refused, nothing of it happened. */
async function assertNothingHappened(): Promise<void> {
  const before = movements;
  movements = (await writer.get('/v1/movements')).body.items.length;
  // Counted from the last time, so that one failure is not every later test's.
  assert.equal(movements, before);
}

const receipt = (line: string) => `{"warehouse":"W1","lines":[{"product":"P",${line}}]}`;
const with_ = (more: Record<string, unknown>) => ({
  warehouse: 'W1',
  lines: [{ product: 'P', quantity: 1 }],
  ...more,
});

for (const value of [
  '0',
  '-1',
  '1.5',
  '-0',
  '1e400',
  '-1e400',
  '9007199254740992',
  '"1"',
  'true',
  'null',
  '[1]',
  '{}',
  '1e-7',
]) {
  test(`a quantity of ${value} is refused`, async () => {
    const reply = await writer.post('/v1/receipts', receipt(`"quantity":${value}`));
    assertFaults(reply, '$.lines[0].quantity');
    await assertNothingHappened();
  });
}

const lineFields: [path: string, line: Record<string, unknown>, values: unknown[]][] = [
  ['/v1/adjustments', { product: 'P' }, [0, 1.5, '1', null, 2 ** 53]],
  ['/v1/counts', { product: 'P' }, [-1, 1.5, '1', null, 2 ** 53]],
];
for (const [path, line, values] of lineFields) {
  const field = path === '/v1/counts' ? 'counted' : 'change';
  test(`${path} refuses each ${field} that is no whole number in range`, async () => {
    for (const value of values) {
      const body = { warehouse: 'W1', reason: 'r', lines: [{ ...line, [field]: value }] };
      if (field === 'counted') Reflect.deleteProperty(body, 'reason');
      assertFaults(await writer.post(path, body), `$.lines[0].${field}`);
    }
    await assertNothingHappened();
  });
}

test('an adjustment of -0 is an adjustment of 0, and refused', async () => {
  const body = '{"warehouse":"W1","reason":"r","lines":[{"product":"P","change":-0}]}';
  assertFaults(await writer.post('/v1/adjustments', body), '$.lines[0].change');
});

const fields: [what: string, more: Record<string, unknown>, path: string][] = [
  ['a reference of 201 characters', { reference: 'x'.repeat(201) }, '$.reference'],
  ['an empty reference', { reference: '' }, '$.reference'],
  ['a reference that is a number', { reference: 1 }, '$.reference'],
  ['a reference with a NUL', { reference: 'a\u0000' }, '$.reference'],
  ['a reference with an escape character', { reference: '\u001b[2J' }, '$.reference'],
  ['a reference with a lone surrogate', { reference: 'a\ud800' }, '$.reference'],
  ['a note of 2,001 characters', { note: 'x'.repeat(2001) }, '$.note'],
  ['a note with a NUL', { note: 'a\u0000' }, '$.note'],
  ['a date without a time', { occurredAt: '2026-01-01' }, '$.occurredAt'],
  ['a time without an offset', { occurredAt: '2026-01-01T00:00:00' }, '$.occurredAt'],
  ['the 30th of February', { occurredAt: '2026-02-30T00:00:00Z' }, '$.occurredAt'],
  ['an offset of 24 hours', { occurredAt: '2026-01-01T00:00:00+24:00' }, '$.occurredAt'],
  ['the year 10000 by its offset', { occurredAt: '9999-12-31T23:00:00-02:00' }, '$.occurredAt'],
  ['the 25th hour', { occurredAt: '2026-01-01T25:00:00Z' }, '$.occurredAt'],
  ['a time that is a number', { occurredAt: 1_700_000_000 }, '$.occurredAt'],
  ['metadata that is a list', { metadata: [] }, '$.metadata'],
  ['metadata with a number', { metadata: { a: 1 } }, '$.metadata.a'],
  ['metadata that is nested', { metadata: { a: { b: 'c' } } }, '$.metadata.a'],
  ['metadata with a number named 0', { metadata: { 0: 1 } }, '$.metadata["0"]'],
  ['an unknown field named 0', { 0: 'red' }, '$["0"]'],
  ['metadata with a NUL', { metadata: { a: '\u0000' } }, '$.metadata.a'],
  ['metadata beyond 4 KiB', { metadata: { a: 'x'.repeat(4096) } }, '$.metadata'],
  ['an unknown field', { colour: 'red' }, '$.colour'],
  ['an unknown field in a line', { lines: [{ product: 'P', quantity: 1, x: 1 }] }, '$.lines[0].x'],
  ['no lines', { lines: [] }, '$.lines'],
  ['lines that are an object', { lines: { 0: { product: 'P', quantity: 1 } } }, '$.lines'],
  ['a line that is null', { lines: [null] }, '$.lines[0]'],
  ['a line without a product', { lines: [{ quantity: 1 }] }, '$.lines[0].product'],
  ['a line without a quantity', { lines: [{ product: 'P' }] }, '$.lines[0].quantity'],
  ['a warehouse that is a list', { warehouse: ['W1'] }, '$.warehouse'],
  [
    'a cost of seven decimals',
    { lines: [{ product: 'P', quantity: 1, unitCost: '1.1234567' }] },
    '$.lines[0].unitCost',
  ],
  [
    'a negative cost',
    { lines: [{ product: 'P', quantity: 1, unitCost: -1 }] },
    '$.lines[0].unitCost',
  ],
];
for (const [what, more, path] of fields) {
  test(`${what} is refused at ${path}`, async () => {
    assertFaults(await writer.post('/v1/receipts', with_(more)), path);
    await assertNothingHappened();
  });
}

test('a metadata name with a control character is refused', async () => {
  for (const name of ['a\u0000', 'a\u001b', '', 'x'.repeat(101), '\ud800']) {
    const reply = await writer.post('/v1/receipts', with_({ metadata: { [name]: 'v' } }));
    assertProblem(reply, 'validation-failed');
  }
  await assertNothingHappened();
});

test('a name in a path of a fault is told by its beginning', async () => {
  const name = `a/~${'\u0001'.repeat(100_000)}`;
  const reply = await writer.post('/v1/receipts', with_({ metadata: { [name]: 1 } }));
  assertProblem(reply, 'validation-failed');
  assert.ok(reply.text.length < 10_000, `${reply.text.length} characters`);
  const pointers = reply.body.errors.map(({ pointer }: { pointer: string }) => pointer);
  assert.ok(pointers.includes(`/metadata/a~1~0${name.slice(3, 200)}`));
});

test('every fault of a body is named, up to a bound', async () => {
  const two = with_({ warehouse: 'a b', lines: [{ product: 'P', quantity: 0 }] });
  assertFaults(await writer.post('/v1/receipts', two), '$.warehouse', '$.lines[0].quantity');
  const lines = Array.from({ length: 2000 }, () => ({ product: '', quantity: 0 }));
  const { body } = await writer.post('/v1/receipts', with_({ lines }));
  assert.ok(body.errors.length > 1 && body.errors.length <= 50, `${body.errors.length} faults`);
});

const CODES = [
  '',
  'a b',
  "a'; DROP TABLE levels; --",
  'a\u0000',
  'a\n',
  'é',
  'x'.repeat(65),
  '../a',
];
for (const code of CODES) {
  test(`the code ${JSON.stringify(code).slice(0, 30)} is refused in every place`, async () => {
    assertFaults(await writer.post('/v1/receipts', with_({ warehouse: code })), '$.warehouse');
    const lines = [{ product: code, quantity: 1 }];
    assertFaults(await writer.post('/v1/receipts', with_({ lines })), '$.lines[0].product');
    const query = encodeURIComponent(code);
    assertProblem(await writer.get(`/v1/stock?warehouse=${query}`), 'validation-failed');
    assertProblem(await writer.get(`/v1/movements?product=${query}`), 'validation-failed');
    await assertNothingHappened();
  });
}

test('2,001 lines are refused', async () => {
  const lines = Array.from({ length: 2001 }, () => ({ product: 'P', quantity: 1 }));
  assertFaults(await writer.post('/v1/receipts', with_({ lines })), '$.lines');
  await assertNothingHappened();
});

const post = (type: string, length: number, key = 'k') => [
  'POST /v1/receipts HTTP/1.1',
  `Content-Type: ${type}`,
  `Idempotency-Key: ${key}`,
  `Content-Length: ${length}`,
];

test('a list that is too long is refused for its length alone, whatever its items', async () => {
  const items = Array.from({ length: 300_000 }, () => ({}));
  for (const [path, body, fault, itemsMax] of [
    ['receipts', { warehouse: '', lines: items }, '$.lines', 2000],
    ['batches', { commands: items }, '$.commands', 1000],
  ] as const) {
    const reply = await writer.post(`/v1/${path}`, body);
    assertFaults(reply, fault);
    assert.match(reply.body.detail, new RegExp(`more than ${itemsMax} items`));
  }
  const command = { type: 'receipt', idempotencyKey: 'k', warehouse: '', lines: items };
  const { results } = (await writer.post('/v1/batches', { commands: [command] })).body;
  assert.deepEqual(
    results[0]?.body.errors.map(({ path }) => path),
    ['$.commands[0].lines'],
  );
  await assertNothingHappened();
});

test('a body of 2 MiB is refused with 413', async () => {
  const body = JSON.stringify(with_({ note: 'x'.repeat(2 * 1024 * 1024) }));
  // The answer comes before the body is read, so the head alone is sent.
  const text = await writer.raw(post('application/json', body.length));
  assert.match(text, /^HTTP\/1.1 413 /);
  assert.match(text, /content-type: application\/problem\+json\r\n/);
  assert.match(text, /"code":"payload-too-large"/);
  await assertNothingHappened();
});

test('a chunked body of 2 MiB is refused with 413 too', async () => {
  const chunk = `${(64 * 1024).toString(16)}\r\n${'x'.repeat(64 * 1024)}\r\n`;
  const head = [...post('application/json', 0).slice(0, 3), 'Transfer-Encoding: chunked'];
  const text = await writer.raw(head, chunk.repeat(17));
  assert.match(text, /^HTTP\/1.1 413 .*"code":"payload-too-large"/s);
});

test('a body just under 1 MiB is read', async () => {
  const padding = ' '.repeat(1024 * 1024 - 200);
  const body = `${padding}${JSON.stringify(with_({ lines: [{ product: 'X9', quantity: 1 }] }))}`;
  assertProblem(await writer.post('/v1/receipts', body), 'unknown-product');
});

test('invalid UTF-8 is refused, not repaired', async () => {
  const [start, end] = receipt('"quantity":1').split('P') as [string, string];
  const body = Buffer.concat([Buffer.from(start), Buffer.from([0x50, 0xff]), Buffer.from(end)]);
  const text = await writer.raw(post('application/json', body.length), body);
  assert.match(text, /^HTTP\/1.1 400 .*"code":"validation-failed"/s);
  assert.match(text, /UTF-8/);
});

const deep = (open: string, close: string, n = 50_000) => `${open.repeat(n)}${close.repeat(n)}`;
const malformed: [what: string, body: string][] = [
  ['an array nested 50,000 deep', deep('[', ']')],
  ['50,000 arrays that are never closed', '['.repeat(50_000)],
  ['an object nested 50,000 deep', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
  ['lines nested 50,000 deep', `{"warehouse":"W1","lines":${deep('[', ']')}}`],
  [
    'metadata nested 50,000 deep',
    `{"warehouse":"W1","lines":[{"product":"P","quantity":1}],"metadata":{"a":${deep('[', ']')}}}`,
  ],
  ['a member that is there twice', receipt('"quantity":5,"quantity":7')],
  ['a quantity that would be rounded to 1', receipt('"quantity":0.99999999999999999')],
  ['a quantity that would be rounded', receipt('"quantity":4503599627370497.4')],
  ['__proto__', '{"warehouse":"W1","lines":[{"product":"P","quantity":1}],"__proto__":{"a":1}}'],
  [
    '__proto__ where any name is taken',
    '{"warehouse":"W1","lines":[{"product":"P","quantity":1}],"metadata":{"__proto__":"x"}}',
  ],
  ['an escaped __proto__', receipt('"quantity":1,"\\u005f_proto__":{"role":"admin"}')],
  ['constructor.prototype', receipt('"quantity":1,"constructor":{"prototype":{"a":1}}')],
  ['half of a body', '{"warehouse":"W1","lin'],
  ['two values', '{} {}'],
  ['a byte-order mark and nothing', '\ufeff'],
  ['NaN', receipt('"quantity":NaN')],
  ['a comment', '{/* no */}'],
  ['a raw control character in a text', receipt('"quantity":1,"x":"\u0001"')],
  ['null', 'null'],
  ['a number', '1'],
  ['a text', '"x"'],
  ['an array', '[]'],
  ['nothing', ''],
  ['white space', '  \n'],
];
for (const [what, body] of malformed) {
  test(`a body of ${what} is a 400`, async () => {
    for (const path of ['/v1/receipts', '/v1/batches']) {
      assertProblem(await writer.post(path, body), 'validation-failed');
    }
    await assertNothingHappened();
  });
}

test('a command without any body is a 400 that names what is missing', async () => {
  assertFaults(await writer.post('/v1/receipts'), '$.warehouse', '$.lines');
});

for (const type of [
  'text/plain',
  'application/x-www-form-urlencoded',
  'application/xml',
  'application/jsonp',
  'json',
]) {
  test(`a body of type ${type} is refused with 415`, async () => {
    const headers = { 'content-type': type, 'idempotency-key': 'k' };
    const reply = await writer.send('POST', '/v1/receipts', { body: with_({}), headers });
    assertProblem(reply, 'unsupported-media-type');
  });
}

test('a body without a content type is refused with 415', async () => {
  const body = JSON.stringify(with_({}));
  const head = post('', body.length).filter((line) => !line.startsWith('Content-Type'));
  assert.match(await writer.raw(head, body), /^HTTP\/1.1 415 .*"code":"unsupported-media-type"/s);
  await assertNothingHappened();
});

test('a compressed body is refused with 415, and one that says it is', async () => {
  const body = JSON.stringify(with_({}));
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(body)],
    ['gzip', body],
    ['identity, br', body],
  ] as const) {
    const headers = { 'content-encoding': encoding, 'idempotency-key': 'k' };
    const reply = await writer.send('POST', '/v1/receipts', { body: bytes, headers });
    assertProblem(reply, 'unsupported-media-type');
    assert.match(reply.body.detail, /Content-Encoding/);
  }
  await assertNothingHappened();
});

test('a body whose encoding is identity is read', async () => {
  const headers = { 'content-encoding': 'Identity', 'idempotency-key': 'k' };
  const body = with_({ lines: [{ product: 'X9', quantity: 1 }] });
  assertProblem(await writer.send('POST', '/v1/receipts', { body, headers }), 'unknown-product');
});

test('a charset and another case of the content type make no difference', async () => {
  const headers = { 'content-type': 'Application/JSON; charset=UTF-8', 'idempotency-key': 'k' };
  const body = with_({ lines: [{ product: 'X9', quantity: 1 }] });
  assertProblem(await writer.send('POST', '/v1/receipts', { body, headers }), 'unknown-product');
});

for (const query of [
  'x=1',
  'dryRun=maybe',
  'dryRun=',
  'dryRun=1',
  'dryRun=true&dryRun=false',
  'DRYRUN=true',
]) {
  test(`a command refuses ?${query}`, async () => {
    assertProblem(await writer.post(`/v1/receipts?${query}`, with_({})), 'validation-failed');
    await assertNothingHappened();
  });
}

const reads: string[] = [
  '/v1/stock?colour=red',
  '/v1/stock/W1/P?at=yesterday',
  '/v1/stock/W1/P?at=2026-02-30T00:00:00Z',
  '/v1/stock/W1/P?at=2026-01-01T00:00:00%2B23:59x',
  '/v1/stock/W1/P?until=2026-01-01T00:00:00Z',
  '/v1/stock/W1/a%00b',
  '/v1/movements?colour=red',
  '/v1/reservations?status=open',
];
for (const path of reads) {
  test(`GET ${path} is a 400`, async () => {
    assertProblem(await writer.get(path), 'validation-failed');
  });
}

test('an unknown parameter is refused by every route, also by those that take none', async () => {
  const id = '00000000-0000-7000-8000-000000000000';
  const routes: [method: string, path: string][] = [
    ['PUT', '/v1/warehouses/W8?dryRun=true'],
    ['PUT', '/v1/products/P8?dryRun=true'],
    ['GET', '/v1/warehouses/W1?x=1'],
    ['GET', `/v1/postings/${id}?x=1`],
    ['GET', `/v1/reservations/${id}?x=1`],
    ['GET', '/v1/idempotency-keys/k?x=1'],
    ['GET', '/v1/verify?x=1'],
    ['GET', '/v1/locks?x=1'],
  ];
  for (const [method, path] of routes) {
    assertProblem(await tenant.admin.send(method, path), 'validation-failed');
  }
  assertProblem(await writer.get('/v1/warehouses/W8'), 'unknown-warehouse');
});

/**
 * Sends a head as it is.
 * @returns the whole answer, which must come before the connection closes
 */
function sendHead(...lines: string[]): Promise<string> {
  const { port, hostname } = new URL(api.url);
  return exchange(Number(port), hostname, [`${lines.join('\r\n')}\r\n\r\n`]);
}

for (const route of ['GET /v1/stock', 'GET /healthz', 'GET /nowhere', 'POST /v1/receipts']) {
  test(`${route} without Host is a problem`, { timeout: 10_000 }, async () => {
    const answer = await sendHead(`${route} HTTP/1.1`, `Authorization: Bearer ${writer.secret}`);
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    assert.match(head, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.match(head, /^content-type: application\/problem\+json$/im);
    assert.match(head, /^connection: close$/im);
    const { code, errors } = JSON.parse(body);
    assert.equal(code, 'validation-failed');
    assert.deepEqual(errors, [{ path: '$.headers.host', pointer: '/host', detail: 'is required' }]);
  });
}

test('a Host that is empty is a Host, and HTTP/1.0 needs none', async () => {
  const empty = await sendHead('GET /healthz HTTP/1.1', 'Host:', 'Connection: close');
  assert.match(empty, /^HTTP\/1\.1 200 .*"status":"ok"/s);
  const old = await sendHead('GET /healthz HTTP/1.0');
  assert.match(old, /^HTTP\/1\.1 200 .*"status":"ok"/s);
});

test('a time with the widest offset is a time', async () => {
  const reply = await writer.get('/v1/stock/W1/P?at=2100-01-01T00:00:00%2B23:59');
  assert.equal(reply.status, 200, reply.text);
});

const absent = [
  '/v1/postings/1',
  '/v1/postings/00000000-0000-7000-8000-000000000000',
  '/v1/postings/a%00b',
  "/v1/reservations/'%20OR%201=1",
  '/v1/reservations/00000000-0000-7000-8000-000000000000',
  '/v1/reservations/a%00b',
  '/v1/idempotency-keys/unused',
  '/v1/idempotency-keys/a%00b',
  '/v1/idempotency-keys/%F0%9F%98%80',
  `/v1/idempotency-keys/${'x'.repeat(255)}`,
];
for (const path of absent) {
  test(`GET ${path.slice(0, 60)} finds nothing`, async () => {
    assertProblem(await writer.get(path), 'not-found');
  });
}

test('commands on ids that name nothing are a 404, whatever the id', async () => {
  const paths: [string, Record<string, unknown>][] = [
    ['/v1/reservations/ID/ship', {}],
    ['/v1/reservations/ID/release', {}],
    ['/v1/reservations/ID/extend', { ttlSeconds: 60 }],
    ['/v1/postings/ID/reverse', { reason: 'r' }],
  ];
  const ids = ['x', 'a%00b', '%27', '00000000-0000-7000-8000-000000000000', '%F0%9F%98%80'];
  for (const [path, body] of paths) {
    for (const id of ids) {
      const reply: Reply = await writer.post(path.replace('ID', id), body);
      assertProblem(reply, 'not-found');
    }
  }
});
