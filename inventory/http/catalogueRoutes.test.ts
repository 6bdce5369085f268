import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi } from './testing/api.ts';
import { assertFaults, assertProblem, type Caller } from './testing/caller.ts';

const api = await startApi({ after });

const RFC3339_MS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test('a warehouse is made once with 201 and Location, replaced with 200', async () => {
  const { writer } = await api.tenant();
  const first = await writer.put('/v1/warehouses/W1', { name: 'Main' });
  assert.equal(first.status, 201);
  assert.equal(first.headers.get('location'), '/v1/warehouses/W1');
  const { createdAt, updatedAt, ...rest } = first.body as unknown as Record<string, unknown>;
  assert.deepEqual(rest, { warehouse: 'W1', name: 'Main' });
  assert.match(String(createdAt), RFC3339_MS);
  assert.match(String(updatedAt), RFC3339_MS);
  const second = await writer.put('/v1/warehouses/W1', { name: 'Other' });
  assert.equal(second.status, 200);
  assert.equal(second.headers.get('location'), null);
  assert.partialDeepStrictEqual(second.body, { warehouse: 'W1', name: 'Other', createdAt });
  assert.deepEqual((await writer.get('/v1/warehouses/W1')).body, second.body);
});

test('a product has a name and allows no backorder unless told, and PUT needs no key', async () => {
  const { writer } = await api.tenant();
  const plain = await writer.put('/v1/products/SKU-1');
  assert.equal(plain.status, 201);
  assert.partialDeepStrictEqual(plain.body, {
    product: 'SKU-1',
    name: null,
    allowBackorder: false,
  });
  const open = await writer.put('/v1/products/SKU-1', { name: 'Nut', allowBackorder: true });
  assert.partialDeepStrictEqual(open.body, { name: 'Nut', allowBackorder: true });
  assert.equal(open.status, 200);
  // A PUT is the whole entry: what it leaves out goes back to its default.
  assert.partialDeepStrictEqual((await writer.put('/v1/products/SKU-1', {})).body, {
    name: null,
    allowBackorder: false,
  });
});

test('codes of 1 and 64 characters and every allowed character are taken', async () => {
  const { writer } = await api.tenant();
  for (const code of ['a', 'Z9._:-', 'x'.repeat(64)]) {
    const reply = await writer.put(`/v1/products/${encodeURIComponent(code)}`);
    assert.equal(reply.status, 201, reply.text);
    assert.equal((await writer.get(`/v1/products/${code}`)).body.product, code);
  }
});

test('an entry that is not registered is the 404 of its kind', async () => {
  const { reader } = await api.tenant();
  const warehouse = await reader.get('/v1/warehouses/W9');
  assertProblem(warehouse, 'unknown-warehouse', { warehouse: 'W9' });
  const product = await reader.get('/v1/products/P9');
  assertProblem(product, 'unknown-product', { products: ['P9'] });
});

for (const [what, body, path] of [
  ['a number as name', { name: 1 }, '$.name'],
  ['an empty name', { name: '' }, '$.name'],
  ['a name of 201 characters', { name: 'x'.repeat(201) }, '$.name'],
  ['a NUL in the name', { name: 'a\u0000b' }, '$.name'],
  ['a text as allowBackorder', { allowBackorder: 'true' }, '$.allowBackorder'],
  ['a field that it does not have', { colour: 'red' }, '$.colour'],
  ['an array', [], '$'],
  ['a text', '"x"', '$'],
  ['null', 'null', '$'],
] as const) {
  test(`a product with ${what} is refused and not made`, async () => {
    const { writer } = await api.tenant();
    assertFaults(await writer.put('/v1/products/P', body), path);
    assertProblem(await writer.get('/v1/products/P'), 'unknown-product');
  });
}

test('a name with a lone surrogate is refused, not repaired', async () => {
  const { writer } = await api.tenant();
  assertFaults(await writer.put('/v1/warehouses/W', '{"name":"a\\ud800"}'), '$.name');
  const whole = await writer.put('/v1/warehouses/W', '{"name":"\\ud83d\\ude00 日本"}');
  assert.partialDeepStrictEqual(whole.body, { name: '😀 日本' });
});

for (const code of [
  'a b',
  'a/b',
  "a';DROP TABLE levels;--",
  'é',
  'x'.repeat(65),
  'a\u0000b',
  'a\n',
]) {
  test(`the code ${JSON.stringify(code).slice(0, 30)} is refused`, async () => {
    const { writer } = await api.tenant();
    for (const kind of ['warehouses', 'products']) {
      const path = `/v1/${kind}/${encodeURIComponent(code)}`;
      assertProblem(await writer.put(path), 'validation-failed');
      assertProblem(await writer.get(path), 'validation-failed');
    }
  });
}

async function allCodes(reader: Caller, path: string, kind: 'warehouse' | 'product') {
  const codes: string[] = [];
  let pages = 0;
  for (let cursor: string | null = ''; cursor !== null; pages++) {
    const mark = cursor === '' ? '' : `&cursor=${cursor}`;
    const { status, body, text } = await reader.get(`${path}?limit=3${mark}`);
    assert.equal(status, 200, text);
    assert.ok(body.items.length <= 3);
    codes.push(...body.items.map((item) => item[kind]));
    cursor = body.next;
  }
  return { codes, pages };
}

test('the pages of a list reach every entry once, by code, also when one is full', async () => {
  const { writer } = await api.tenant();
  for (const n of [6, 2, 5, 1, 4, 3]) {
    await writer.put(`/v1/products/P${n}`);
    await writer.put(`/v1/warehouses/W${n}`);
  }
  const products = await allCodes(writer, '/v1/products', 'product');
  assert.deepEqual(products, { codes: ['P1', 'P2', 'P3', 'P4', 'P5', 'P6'], pages: 2 });
  const warehouses = await allCodes(writer, '/v1/warehouses', 'warehouse');
  assert.deepEqual(warehouses, { codes: ['W1', 'W2', 'W3', 'W4', 'W5', 'W6'], pages: 2 });
});

test('a list without entries is an empty page', async () => {
  const { reader } = await api.tenant();
  assert.deepEqual((await reader.get('/v1/products')).body, { items: [], next: null });
});

for (const query of [
  'limit=0',
  'limit=1001',
  'limit=x',
  'limit=1.5',
  'limit=1&limit=2',
  'page=2',
]) {
  test(`a list refuses ?${query}`, async () => {
    const { reader } = await api.tenant();
    for (const list of ['warehouses', 'products', 'stock', 'movements', 'reservations']) {
      assertProblem(await reader.get(`/v1/${list}?${query}`), 'validation-failed');
    }
  });
}

const forged = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url');

for (const [what, cursor] of [
  ['text', 'nonsense'],
  ['nothing', ''],
  ['bytes that are no UTF-8', '%ff%fe'],
  ['an object', forged({})],
  ['a null byte', forged(['\u0000'])],
  ['parts that are too many', forged(['a', 'b', 1, 'c', 2, 3])],
  ['a number for a code', forged([1])],
  ['2,000 characters', 'A'.repeat(2000)],
] as const) {
  test(`a cursor of ${what} is a 400 on every list`, async () => {
    const { reader } = await api.tenant();
    for (const list of ['warehouses', 'products', 'stock', 'movements', 'reservations']) {
      assertProblem(await reader.get(`/v1/${list}?cursor=${cursor}`), 'validation-failed');
    }
  });
}
