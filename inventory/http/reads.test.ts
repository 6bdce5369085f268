import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock } from './testing/api.ts';
import { assertProblem, type Body, type Caller } from './testing/caller.ts';

const api = await startApi({ after });

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });

/** Every item of a list, page by page. */
async function pages(caller: Caller, path: string, limit: number): Promise<Body[][]> {
  const found: Body[][] = [];
  for (let cursor = ''; ; ) {
    const { status, body, text } = await caller.get(`${path}limit=${limit}${cursor}`);
    assert.equal(status, 200, text);
    found.push(body.items);
    if (body.next === null) return found;
    cursor = `&cursor=${encodeURIComponent(body.next)}`;
  }
}

test('a level answers exactly its fields, and its sequence as ETag', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  await writer.did('/v1/reservations', p(3));
  const reply = await writer.get('/v1/stock/W1/P');
  assert.deepEqual(reply.body as unknown, {
    warehouse: 'W1',
    product: 'P',
    onHand: 10,
    reserved: 3,
    available: 7,
    sequence: 2,
  });
  assert.equal(reply.headers.get('etag'), '"2"');
});

test('a level that did not change is a 304 without a body', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const ifNoneMatch = (etag: string) => writer.get('/v1/stock/W1/P', { 'if-none-match': etag });
  for (const etag of ['"1"', 'W/"1"', '"7", "1"', '*']) {
    const same = await ifNoneMatch(etag);
    assert.equal(same.status, 304, etag);
    assert.equal(same.text, '');
    assert.equal(same.headers.get('etag'), '"1"');
  }
  assert.equal((await ifNoneMatch('"11"')).status, 200);
  await writer.did('/v1/receipts', p(1));
  const changed = await ifNoneMatch('"1"');
  assert.equal(changed.status, 200);
  assert.equal(changed.headers.get('etag'), '"2"');
});

test('a registered pair that never moved is a level of zeros; else it is a 404', async () => {
  const { writer } = await api.tenant();
  await stock(writer);
  await writer.put('/v1/products/P');
  assert.equal(await writer.level('W1', 'P'), '0/0/0@0');
  assertProblem(await writer.get('/v1/stock/W9/P'), 'unknown-warehouse', { warehouse: 'W9' });
  assertProblem(await writer.get('/v1/stock/W1/P9'), 'unknown-product', { products: ['P9'] });
});

test('a level at a time is what the ledger had then', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const times = [(await writer.get('/v1/movements')).body.items[0]?.recordedAt as string];
  for (let i = 0; i < 4; i++) {
    times.push((await writer.did('/v1/shipments', p(1))).body.recordedAt);
  }
  const at = async (time: string) => {
    const { body } = await writer.get(`/v1/stock/W1/P?at=${encodeURIComponent(time)}`);
    return [body.onHand, body.sequence];
  };
  for (const time of times) {
    const sequence = times.findLastIndex((other) => other <= time) + 1;
    assert.deepEqual(await at(time), [11 - sequence, sequence]);
  }
  const first = Date.parse(times[0] as string);
  assert.deepEqual(await at(new Date(first - 1).toISOString()), [0, 0]);
  assert.deepEqual(await at('2100-01-01T00:00:00+05:30'), [6, 5]);
});

test('stock is listed by warehouse and product, filtered by either, all pages, none twice', async () => {
  const { writer } = await api.tenant();
  const products = ['A', 'B', 'C', 'D', 'E'];
  await stock(writer, ...products);
  const lines = products.map((product) => ({ product, quantity: 1 }));
  await writer.did('/v1/transfers', { from: 'W1', to: 'W2', lines });
  const names = (found: Body[][]) =>
    found.map((items) => items.map(({ warehouse, product }) => `${warehouse}${product}`).join(' '));
  assert.deepEqual(names(await pages(writer, '/v1/stock?', 4)), [
    'W1A W1B W1C W1D',
    'W1E W2A W2B W2C',
    'W2D W2E',
  ]);
  assert.deepEqual(names(await pages(writer, '/v1/stock?warehouse=W2&', 3)), [
    'W2A W2B W2C',
    'W2D W2E',
  ]);
  assert.deepEqual(names(await pages(writer, '/v1/stock?product=C&', 1)), ['W1C', 'W2C']);
  assert.deepEqual(names(await pages(writer, '/v1/stock?product=C&warehouse=W2&', 9)), ['W2C']);
  assert.deepEqual(names(await pages(writer, '/v1/stock?product=X&', 9)), ['']);
  const [level] = (await writer.get('/v1/stock?warehouse=W1&limit=1')).body.items;
  assert.deepEqual(level, (await writer.get('/v1/stock/W1/A')).body);
});

test('movements are listed oldest first by each filter, all pages, none twice', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P', 'Q');
  const ids: string[] = [];
  const both = ['P', 'Q'].map((product) => ({ product, quantity: 1 }));
  for (let i = 0; i < 3; i++) {
    const { body } = await writer.did('/v1/transfers', { from: 'W1', to: 'W2', lines: both });
    ids.push(body.id);
  }
  const list = async (query: string, limit = 3) =>
    (await pages(writer, `/v1/movements?${query}`, limit)).flat();
  const all = await list('');
  assert.equal(all.length, 14);
  assert.equal(new Set(all.map((m) => `${m.warehouse} ${m.product} ${m.sequence}`)).size, 14);
  const postings = all.map(({ posting }) => posting as unknown as string);
  assert.deepEqual([...new Set(postings)].slice(1), ids);
  const sequences = async (query: string) => (await list(query)).map(({ sequence }) => sequence);
  assert.deepEqual(await sequences('warehouse=W1&product=P&'), [1, 2, 3, 4]);
  assert.deepEqual(await sequences('warehouse=W2&product=Q&'), [1, 2, 3]);
  assert.deepEqual(await sequences('warehouse=W2&'), [1, 2, 3, 1, 2, 3]);
  assert.deepEqual(await sequences('product=P&'), [1, 2, 3, 4, 1, 2, 3]);
  assert.equal((await list(`posting=${ids[1]}&`)).length, 4);
  assert.equal((await list(`posting=${ids[1]}&warehouse=W1&product=P&`)).length, 1);
  assert.deepEqual(await list('posting=nonsense&'), []);
  assert.deepEqual(await list('product=X&'), []);
});

test('a movement of the list is that of its posting, with its hash and time', async () => {
  const { writer } = await api.tenant();
  await stock(writer);
  await writer.put('/v1/products/P');
  const lines = [{ product: 'P', quantity: 2, unitCost: 1.5 }];
  const { body } = await writer.did('/v1/receipts', { warehouse: 'W1', lines });
  const [item] = (await writer.get('/v1/movements')).body.items;
  const { hash, ...rest } = item as unknown as Record<string, unknown>;
  assert.match(String(hash), /^[0-9a-f]{64}$/);
  const { id: posting, recordedAt } = body;
  assert.deepEqual(rest, { ...body.movements[0], posting, recordedAt });
  assert.equal(body.movements[0]?.unitCost, '1.5');
});

test('a posting is read with everything it carried', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const metadata = { 'line\nbreak': 'a\tb', plain: 'x' };
  const { body } = await writer.did('/v1/receipts', { ...p(1), metadata });
  assert.deepEqual((await writer.get(`/v1/postings/${body.id}`)).body, body);
});

test('pages hold while the list grows behind them', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'A', 'C', 'E');
  const first = (await writer.get('/v1/products?limit=2')).body;
  await writer.put('/v1/products/B');
  await writer.put('/v1/products/D');
  const second = (await writer.get(`/v1/products?limit=2&cursor=${first.next}`)).body;
  assert.deepEqual(
    second.items.map(({ product }) => product),
    ['D', 'E'],
  );
});

test('what no list gave as a cursor is refused', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'A', 'C');
  const { next } = (await writer.get('/v1/products?limit=1')).body;
  const posting = '01a215a6-4382-77e8-9e6a-1f7718b84c89';
  const made = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
  for (const [list, cursor] of [
    ['products', `${next}!!`],
    ['products', `${next}==`],
    ['products', made('A', 'C')],
    ['stock', made('W1')],
    ['movements', made('W1', 'A', 1, posting, 2 ** 31)],
    ['movements', made('W1', 'A', 2 ** 53, posting, 0)],
    ['movements', made('W1', 'A', 1, posting, -(2 ** 31) - 1)],
    ['movements', made('W1', 'A', 1, 'no-uuid', 0)],
  ]) {
    const reply = await writer.get(`/v1/${list}?cursor=${encodeURIComponent(cursor as string)}`);
    assert.equal(reply.status, 400, `${list} ${cursor}: ${reply.text}`);
    assert.equal(reply.body.errors[0]?.path, '$.query.cursor');
  }
});

test('a list answers 100 items unless told, and up to 1,000', async () => {
  const { writer, id } = await api.tenant();
  await api.service.database.reads.query(
    `INSERT INTO products (tenant_id, product)
     SELECT $1, 'P' || lpad(n::text, 4, '0') FROM generate_series(1, 1001) n`,
    [id],
  );
  assert.equal((await writer.get('/v1/products')).body.items.length, 100);
  const { items, next } = (await writer.get('/v1/products?limit=1000')).body;
  assert.equal(items.length, 1000);
  assert.equal((await writer.get(`/v1/products?cursor=${next}`)).body.items.length, 1);
});

test('verify proves a sound ledger and counts what it saw', async () => {
  const { writer, admin } = await api.tenant();
  await stock(writer, 'P');
  await writer.did('/v1/reservations', { ...p(3), ttlSeconds: 600 });
  const reply = await admin.get('/v1/verify');
  assert.deepEqual(reply.body as unknown, { valid: true, levels: 1, movements: 2, faults: [] });
});
