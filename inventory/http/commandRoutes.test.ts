import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock, type Tenant } from './testing/api.ts';
import { assertFaults, assertProblem } from './testing/caller.ts';

const api = await startApi({ after });
const MAX = Number.MAX_SAFE_INTEGER;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

async function stocked(...products: string[]): Promise<Tenant> {
  const tenant = await api.tenant();
  await stock(tenant.writer, ...products);
  return tenant;
}

test('a receipt answers 201 with Location and exactly the posting', async () => {
  const { writer } = await stocked('P');
  const reply = await writer.did('/v1/receipts', {
    warehouse: 'W1',
    reference: 'PO-1',
    lines: [{ product: 'P', quantity: 5 }],
  });
  const { id, recordedAt } = reply.body;
  assert.deepEqual(reply.body, {
    id,
    type: 'receipt',
    reference: 'PO-1',
    recordedAt,
    movements: [
      {
        warehouse: 'W1',
        product: 'P',
        sequence: 2,
        onHandChange: 5,
        reservedChange: 0,
        onHand: 15,
        reserved: 0,
        available: 15,
      },
    ],
  });
  assert.match(id, UUID_V7);
  assert.match(recordedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(reply.headers.get('location'), `/v1/postings/${id}`);
  assert.match(reply.headers.get('content-type') ?? '', /^application\/json/);
  assert.equal(reply.headers.get('idempotent-replayed'), null);
  assert.deepEqual((await writer.get(`/v1/postings/${id}`)).body, reply.body);
});

test('what a command carries comes back with its posting, as it was given', async () => {
  const { writer } = await stocked('P');
  const details = {
    reference: 'r'.repeat(200),
    note: 'n'.repeat(1997) + '\t\n😀'.slice(0, 2),
    metadata: { order: '42', empty: '', ключ: '值' },
  };
  const { body } = await writer.did('/v1/receipts', {
    ...details,
    occurredAt: '2026-01-02T03:04:05+02:00',
    warehouse: 'W1',
    lines: [{ product: 'P', quantity: 1, unitCost: '12.345678' }],
  });
  assert.partialDeepStrictEqual(body, { ...details, occurredAt: '2026-01-02T01:04:05.000Z' });
  assert.equal(body.movements[0]?.unitCost, '12.345678');
  assert.deepEqual((await writer.get(`/v1/postings/${body.id}`)).body, body);
});

test('a product on several lines adds up, in one movement', async () => {
  const { writer } = await stocked('P', 'Q');
  const lines = [
    { product: 'P', quantity: 4 },
    { product: 'Q', quantity: 1 },
    { product: 'P', quantity: 6 },
  ];
  const { body } = await writer.did('/v1/shipments', { warehouse: 'W1', lines });
  assert.deepEqual(
    body.movements.map(({ product, onHandChange }) => [product, onHandChange]),
    [
      ['P', -10],
      ['Q', -1],
    ],
  );
  assert.equal(await writer.level('W1', 'P'), '0/0/0@2');
});

test('a shipment beyond what is available names each short line, and no line happens', async () => {
  const { writer } = await stocked('P', 'Q', 'R');
  const lines = [
    { product: 'P', quantity: 6 },
    { product: 'Q', quantity: 1 },
    { product: 'P', quantity: 5 },
    { product: 'R', quantity: 12 },
  ];
  const reply = await writer.post('/v1/shipments', { warehouse: 'W1', lines });
  assertProblem(reply, 'insufficient-stock');
  assert.deepEqual(reply.body.lines, [
    { warehouse: 'W1', product: 'P', requested: 11, available: 10 },
    { warehouse: 'W1', product: 'R', requested: 12, available: 10 },
  ]);
  assert.equal(reply.headers.get('retry-after'), null);
  assert.equal(await writer.level('W1', 'Q'), '10/0/10@1');
});

test('a shipment takes only what is not reserved', async () => {
  const { writer } = await stocked('P');
  await writer.did('/v1/reservations', { warehouse: 'W1', lines: [{ product: 'P', quantity: 7 }] });
  const ship = (quantity: number) =>
    writer.post('/v1/shipments', { warehouse: 'W1', lines: [{ product: 'P', quantity }] });
  assertProblem(await ship(4), 'insufficient-stock', { lines: [{ requested: 4, available: 3 }] });
  assert.equal((await ship(3)).status, 201);
  assert.equal(await writer.level('W1', 'P'), '7/7/0@3');
});

test('a transfer is one posting of two movements, and takes from one to the other', async () => {
  const { writer } = await stocked('P');
  const lines = [{ product: 'P', quantity: 4 }];
  const { body } = await writer.did('/v1/transfers', { from: 'W1', to: 'W2', lines });
  assert.equal(body.type, 'transfer');
  assert.deepEqual(
    body.movements.map(({ warehouse, onHandChange }) => `${warehouse} ${onHandChange}`).sort(),
    ['W1 -4', 'W2 4'],
  );
  assert.equal(await writer.level('W1', 'P'), '6/0/6@2');
  assert.equal(await writer.level('W2', 'P'), '4/0/4@1');
  const more = { from: 'W1', to: 'W2', lines: [{ product: 'P', quantity: 7 }] };
  assertProblem(await writer.post('/v1/transfers', more), 'insufficient-stock');
  assertFaults(await writer.post('/v1/transfers', { from: 'W1', to: 'W1', lines }), '$.to');
});

test('an adjustment goes up or down, never below zero, and tells its reason', async () => {
  const { writer } = await stocked('P', 'Q');
  const adjust = (p: number, q: number) =>
    writer.post('/v1/adjustments', {
      warehouse: 'W1',
      reason: 'damaged',
      lines: [
        { product: 'P', change: p },
        { product: 'Q', change: q },
      ],
    });
  const { body, status } = await adjust(-10, 5);
  assert.equal(status, 201);
  assert.partialDeepStrictEqual(body, { type: 'adjustment', reason: 'damaged' });
  assert.equal(await writer.level('W1', 'P'), '0/0/0@2');
  assert.equal(await writer.level('W1', 'Q'), '15/0/15@2');
  assertProblem(await adjust(-1, 1), 'insufficient-stock');
  assert.equal(await writer.level('W1', 'Q'), '15/0/15@2');
});

test('a count sets what is on hand, and is compare-and-set with an expectation', async () => {
  const { writer } = await stocked('P');
  const count = (line: Record<string, number>) =>
    writer.post('/v1/counts', { warehouse: 'W1', lines: [{ product: 'P', ...line }] });
  const first = await count({ counted: 8, expectedOnHand: 10, expectedSequence: 1 });
  assert.equal(first.status, 201);
  assert.equal(first.body.type, 'count');
  assert.partialDeepStrictEqual(first.body.movements, [{ onHandChange: -2, onHand: 8 }]);
  for (const stale of [{ expectedOnHand: 10 }, { expectedSequence: 1 }]) {
    const level = { warehouse: 'W1', product: 'P', onHand: 8, reserved: 0, available: 8 };
    const reply = await count({ counted: 5, ...stale });
    assertProblem(reply, 'stock-changed', { level: { ...level, sequence: 2 } });
  }
  assert.equal((await count({ counted: 0 })).status, 201);
  assert.equal(await writer.level('W1', 'P'), '0/0/0@3');
});

test('a count of -0 is a count of 0, and one that finds no difference is recorded too', async () => {
  const { writer } = await stocked('P');
  const minusZero = '{"warehouse":"W1","lines":[{"product":"P","counted":-0}]}';
  const { text } = await writer.did('/v1/counts', minusZero);
  assert.match(text, /"onHandChange":-10,"reservedChange":0,"onHand":0,/);
  const again = await writer.did('/v1/counts', minusZero);
  assert.match(again.text, /"onHandChange":0,"reservedChange":0,"onHand":0,/);
});

test('a product counted twice is a 400 that leaves its key free for the correction', async () => {
  const { writer } = await stocked('P');
  const line = { product: 'P', counted: 6 };
  const count = (lines: unknown[]) =>
    writer.post('/v1/counts', { warehouse: 'W1', lines }, 'counted-twice');
  assertFaults(await count([line, line]), '$.lines[1].product');
  assert.equal((await count([line])).status, 201);
});

test('a count below what is reserved is refused', async () => {
  const { writer } = await stocked('P');
  await writer.did('/v1/reservations', { warehouse: 'W1', lines: [{ product: 'P', quantity: 7 }] });
  const line = { product: 'P', counted: 6 };
  const count = (lines: unknown[]) => writer.post('/v1/counts', { warehouse: 'W1', lines });
  assertProblem(await count([line]), 'insufficient-stock');
});

test('backorder lets stock go below zero, and switching it off stops that', async () => {
  const { writer } = await stocked();
  await writer.put('/v1/products/B', { allowBackorder: true });
  const ship = () =>
    writer.post('/v1/shipments', { warehouse: 'W1', lines: [{ product: 'B', quantity: 3 }] });
  assert.equal((await ship()).status, 201);
  assert.equal(await writer.level('W1', 'B'), '-3/0/-3@1');
  await writer.put('/v1/products/B', { allowBackorder: false });
  assertProblem(await ship(), 'insufficient-stock', { lines: [{ requested: 3, available: -3 }] });
  await writer.did('/v1/receipts', { warehouse: 'W1', lines: [{ product: 'B', quantity: 1 }] });
  assert.equal(await writer.level('W1', 'B'), '-2/0/-2@2');
});

test('a result beyond the exact range is refused, and the largest quantity is not', async () => {
  const { writer } = await stocked();
  await writer.put('/v1/products/P');
  const receive = (...quantities: number[]) =>
    writer.post('/v1/receipts', {
      warehouse: 'W1',
      lines: quantities.map((quantity) => ({ product: 'P', quantity })),
    });
  assertProblem(await receive(MAX, 1), 'quantity-overflow', { warehouse: 'W1', product: 'P' });
  assert.equal((await receive(MAX)).status, 201);
  assertProblem(await receive(1), 'quantity-overflow');
  assert.equal(await writer.level('W1', 'P'), `${MAX}/0/${MAX}@1`);
});

const unknown = {
  '/v1/receipts': { warehouse: 'W9', lines: [{ product: 'P9', quantity: 1 }] },
  '/v1/shipments': { warehouse: 'W9', lines: [{ product: 'P9', quantity: 1 }] },
  '/v1/adjustments': { warehouse: 'W9', reason: 'r', lines: [{ product: 'P9', change: 1 }] },
  '/v1/counts': { warehouse: 'W9', lines: [{ product: 'P9', counted: 1 }] },
  '/v1/reservations': { warehouse: 'W9', lines: [{ product: 'P9', quantity: 1 }] },
};

for (const [path, body] of Object.entries(unknown)) {
  test(`${path} names a warehouse or the products that are not registered`, async () => {
    const { writer } = await stocked();
    assertProblem(await writer.post(path, body), 'unknown-warehouse', { warehouse: 'W9' });
    const known = { ...body, warehouse: 'W1' };
    assertProblem(await writer.post(path, known), 'unknown-product', { products: ['P9'] });
    assert.deepEqual((await writer.get('/v1/stock')).body.items, []);
  });
}

test('a transfer from or to an unknown warehouse is refused', async () => {
  const { writer } = await stocked('P');
  const lines = [{ product: 'P', quantity: 1 }];
  for (const ends of [
    { from: 'W1', to: 'W9' },
    { from: 'W9', to: 'W1' },
  ]) {
    const reply = await writer.post('/v1/transfers', { ...ends, lines });
    assertProblem(reply, 'unknown-warehouse', { warehouse: 'W9' });
  }
});

test('2,000 lines are one posting', async () => {
  const { writer } = await stocked('P');
  const lines = Array.from({ length: 2000 }, () => ({ product: 'P', quantity: 1 }));
  await writer.did('/v1/receipts', { warehouse: 'W1', lines });
  assert.equal(await writer.level('W1', 'P'), '2010/0/2010@2');
});
