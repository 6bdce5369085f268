import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { startApi, stock, type Tenant } from './testing/api.ts';
import {
  assertFaults,
  assertProblem,
  type Body,
  type Caller,
  type Reply,
} from './testing/caller.ts';

const api = await startApi({ after });

async function stocked(...products: string[]): Promise<Tenant> {
  const tenant = await api.tenant();
  await stock(tenant.writer, ...products);
  return tenant;
}

const p = (quantity: number) => [{ product: 'P', quantity }];

function reserve(writer: Caller, quantity: number, more: object = {}): Promise<Reply> {
  return writer.did('/v1/reservations', { warehouse: 'W1', lines: p(quantity), ...more });
}

const seconds = (text: string) => Date.parse(text) / 1000;

test('a reservation answers 201 with Location and exactly this shape', async () => {
  const { writer } = await stocked('P', 'Q');
  const lines = [
    { product: 'P', quantity: 4 },
    { product: 'Q', quantity: 1 },
    { product: 'P', quantity: 1 },
  ];
  const order = { warehouse: 'W1', reference: 'ORDER-1', ttlSeconds: 60, lines };
  const reply = await writer.did('/v1/reservations', order);
  const { id, posting, expiresAt } = reply.body;
  const line = (product: string, quantity: number) => ({
    product,
    quantity,
    shipped: 0,
    released: 0,
  });
  assert.deepEqual(reply.body as unknown, {
    id,
    status: 'active',
    warehouse: 'W1',
    reference: 'ORDER-1',
    expiresAt,
    lines: [line('P', 5), line('Q', 1)],
    posting,
  });
  assert.partialDeepStrictEqual(posting, { type: 'reservation', reference: 'ORDER-1' });
  assert.partialDeepStrictEqual(posting.movements, [
    { product: 'P', onHandChange: 0, reservedChange: 5, onHand: 10, reserved: 5, available: 5 },
    { product: 'Q', onHandChange: 0, reservedChange: 1 },
  ]);
  assert.equal(reply.headers.get('location'), `/v1/reservations/${id}`);
  assert.equal(seconds(expiresAt) - seconds(posting.recordedAt), 60);
  assert.deepEqual((await writer.get(`/v1/reservations/${id}`)).body, reply.body);
});

test('a reservation without an expiry holds until it is shipped or released', async () => {
  const { writer } = await stocked('P');
  const { body } = await reserve(writer, 1);
  assert.equal(body.expiresAt, null);
});

test('an expiry in the past, or two of them, is a 400', async () => {
  const { writer } = await stocked('P');
  const at = (more: object) =>
    writer.post('/v1/reservations', { warehouse: 'W1', lines: p(1), ...more });
  assertFaults(await at({ expiresAt: '2020-01-01T00:00:00Z' }), '$.expiresAt');
  assertFaults(await at({ expiresAt: '2100-01-01T00:00:00Z', ttlSeconds: 1 }), '$.ttlSeconds');
  for (const ttlSeconds of [0, -1, 1.5, '1', 1e12]) {
    assertFaults(await at({ ttlSeconds }), '$.ttlSeconds');
  }
  assert.equal(await writer.level('W1', 'P'), '10/0/10@1');
});

test('more than is available cannot be reserved', async () => {
  const { writer } = await stocked('P');
  await reserve(writer, 8);
  const reply = await writer.post('/v1/reservations', { warehouse: 'W1', lines: p(3) });
  assertProblem(reply, 'insufficient-stock', { lines: [{ requested: 3, available: 2 }] });
});

test('shipping all of a reservation takes its units and closes it', async () => {
  const { writer } = await stocked('P');
  const { id } = (await reserve(writer, 4)).body;
  const reply = await writer.did(`/v1/reservations/${id}/ship`);
  assert.partialDeepStrictEqual(reply.body, {
    id,
    status: 'closed',
    lines: [{ product: 'P', quantity: 4, shipped: 4, released: 0 }],
  });
  assert.partialDeepStrictEqual(reply.body.posting, {
    type: 'reservation-ship',
    movements: [{ onHandChange: -4, reservedChange: -4, onHand: 6, reserved: 0, available: 6 }],
  });
  assert.equal(reply.headers.get('location'), `/v1/reservations/${id}`);
  for (const path of ['ship', 'release', 'extend']) {
    const body = path === 'extend' ? { ttlSeconds: 60 } : {};
    const again = await writer.post(`/v1/reservations/${id}/${path}`, body);
    assertProblem(again, 'reservation-closed', { reservation: id });
  }
});

test('a reservation is shipped and released in parts until nothing is held', async () => {
  const { writer } = await stocked('P');
  const { id } = (await reserve(writer, 6)).body;
  const change = (what: string, quantity: number) =>
    writer.post(`/v1/reservations/${id}/${what}`, { lines: p(quantity) });
  const shipped = await change('ship', 2);
  assert.partialDeepStrictEqual(shipped.body, { status: 'active', lines: [{ shipped: 2 }] });
  assert.equal(await writer.level('W1', 'P'), '8/4/4@3');
  const released = await change('release', 1);
  assert.partialDeepStrictEqual(released.body, { status: 'active', lines: [{ released: 1 }] });
  assert.equal(await writer.level('W1', 'P'), '8/3/5@4');
  assertProblem(await change('ship', 4), 'insufficient-stock', {
    lines: [{ warehouse: 'W1', product: 'P', requested: 4, available: 3 }],
  });
  const last = await writer.did(`/v1/reservations/${id}/release`, {});
  assert.partialDeepStrictEqual(last.body, {
    status: 'closed',
    lines: [{ quantity: 6, shipped: 2, released: 4 }],
  });
  assert.equal(await writer.level('W1', 'P'), '8/0/8@5');
});

test('a product that the reservation does not hold cannot be shipped from it', async () => {
  const { writer } = await stocked('P', 'Q');
  const { id } = (await reserve(writer, 1)).body;
  const ship = (product: string) =>
    writer.post(`/v1/reservations/${id}/ship`, { lines: [{ product, quantity: 1 }] });
  assertProblem(await ship('Q'), 'insufficient-stock', {
    lines: [{ product: 'Q', requested: 1, available: 0 }],
  });
  assertProblem(await ship('X'), 'unknown-product', { products: ['X'] });
});

test('an unknown reservation is not found, though its lines name registered products', async () => {
  const { writer } = await stocked('P');
  const nowhere = '/v1/reservations/01900000-0000-7000-8000-000000000000';
  for (const verb of ['ship', 'release']) {
    assertProblem(await writer.post(`${nowhere}/${verb}`, { lines: p(1) }), 'not-found');
  }
});

test('an extension moves the expiry later, and only later', async () => {
  const { writer } = await stocked('P');
  const { id } = (await reserve(writer, 1, { ttlSeconds: 60 })).body;
  const extend = (body: object) => writer.post(`/v1/reservations/${id}/extend`, body);
  const later = await extend({ ttlSeconds: 3600 });
  assert.equal(later.status, 201);
  assert.partialDeepStrictEqual(later.body.posting, { type: 'reservation-extend', movements: [] });
  assert.equal(seconds(later.body.expiresAt) - seconds(later.body.posting.recordedAt), 3600);
  assertFaults(await extend({ ttlSeconds: 60 }), '$.ttlSeconds');
  assertFaults(await extend({ expiresAt: '2026-01-01T00:00:00Z' }), '$.expiresAt');
  assertFaults(await extend({}), '$.expiresAt');
  const at = await extend({ expiresAt: '2100-01-01T01:00:00+01:00' });
  assert.equal(at.body.expiresAt, '2100-01-01T00:00:00.000Z');
  const { body } = await writer.get(`/v1/reservations/${id}`);
  assert.equal(body.expiresAt, '2100-01-01T00:00:00.000Z');
});

/** A reservation of all ten units whose time is over, by the database's clock. */
async function expired(writer: Caller): Promise<string> {
  const { id } = (await reserve(writer, 10, { ttlSeconds: 1 })).body;
  await waitFor('the reservation has expired', async () => {
    const { body } = await writer.get(`/v1/reservations/${id}`);
    return body.status === 'expired';
  });
  return id;
}

test('from its expiry on, the units of a reservation are available to reads and commands', async () => {
  const { writer } = await stocked('P');
  const id = await expired(writer);
  // No command has touched the level since: nobody swept.
  assert.equal(await writer.level('W1', 'P'), '10/0/10@2');
  const { items } = (await writer.get('/v1/stock')).body;
  assert.partialDeepStrictEqual(items, [{ onHand: 10, reserved: 0, available: 10 }]);
  for (const [what, body] of [
    ['ship', {}],
    ['release', {}],
    ['extend', { ttlSeconds: 60 }],
  ] as const) {
    const reply = await writer.post(`/v1/reservations/${id}/${what}`, body);
    assertProblem(reply, 'reservation-expired', { reservation: id });
  }
  await writer.did('/v1/shipments', { warehouse: 'W1', lines: p(10) });
  const { items: movements } = (await writer.get('/v1/movements?product=P')).body;
  const changes = movements.map(({ onHand, reserved, sequence }) => [sequence, onHand, reserved]);
  assert.deepEqual(changes, [
    [1, 10, 0],
    [2, 10, 10],
    [3, 10, 0],
    [4, 0, 0],
  ]);
  const { body } = await writer.get(`/v1/reservations/${id}`);
  assert.partialDeepStrictEqual(body, {
    status: 'expired',
    lines: [{ quantity: 10, shipped: 0, released: 0 }],
  });
});

test('a level whose hold is over is read again by whoever knows its sequence', async () => {
  const { writer } = await stocked('P');
  const read = (etag: string) => writer.get('/v1/stock/W1/P', { 'if-none-match': etag });
  await expired(writer);
  const freed = await read('"2"');
  assert.equal(freed.status, 200);
  assert.partialDeepStrictEqual(freed.body, { reserved: 0, available: 10, sequence: 2 });
  assert.equal((await read('*')).status, 304);
  await writer.did('/v1/receipts', { warehouse: 'W1', lines: p(1) });
  assert.equal((await read('"2"')).status, 200);
  assert.equal((await read('"4"')).status, 304);
});

test('a count that expects what was just read holds, though an expiry is booked with it', async () => {
  const { writer } = await stocked('P');
  await expired(writer);
  const { sequence } = (await writer.get('/v1/stock/W1/P')).body;
  const lines = [{ product: 'P', counted: 9, expectedSequence: sequence }];
  const count = { warehouse: 'W1', lines };
  assert.equal((await writer.post('/v1/counts?dryRun=true', count)).status, 200);
  await writer.did('/v1/counts', count);
  assert.equal(await writer.level('W1', 'P'), '9/0/9@4');
  assertProblem(await writer.post('/v1/counts', count), 'stock-changed');
});

test('a reservation is exactly as available as its expiry says, and never before', async () => {
  const { writer } = await stocked('P');
  const { expiresAt } = (await reserve(writer, 10, { ttlSeconds: 1 })).body;
  let taken: Reply | undefined;
  await waitFor('the units can be shipped', async () => {
    taken = await writer.post('/v1/shipments', { warehouse: 'W1', lines: p(10) });
    if (taken.status !== 201) assertProblem(taken, 'insufficient-stock');
    return taken.status === 201;
  });
  const late = Date.parse(taken?.body.recordedAt ?? '') - Date.parse(expiresAt);
  assert.ok(late >= 0, `shipped ${-late} ms before the expiry`);
});

test('an extended reservation does not expire when it first would have', async () => {
  const { writer } = await stocked('P', 'Q');
  const { id } = (await reserve(writer, 5, { ttlSeconds: 1 })).body;
  await writer.did(`/v1/reservations/${id}/extend`, { ttlSeconds: 600 });
  const other = { warehouse: 'W1', lines: [{ product: 'Q', quantity: 1 }], ttlSeconds: 1 };
  const marker = (await writer.did('/v1/reservations', other)).body.id;
  await waitFor('a second has passed by the clock of the database', async () => {
    return (await writer.get(`/v1/reservations/${marker}`)).body.status === 'expired';
  });
  assert.equal((await writer.get(`/v1/reservations/${id}`)).body.status, 'active');
  assert.equal(await writer.level('W1', 'P'), '10/5/5@2');
});

test('reservations are listed by status, all pages, none twice', async () => {
  const { writer } = await stocked('P');
  const gone = await expired(writer);
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    // Some hold until they are shipped, and some for a while.
    const more = i % 4 === 0 ? { ttlSeconds: 600 } : {};
    ids.push((await reserve(writer, 1, more)).body.id);
  }
  await writer.did(`/v1/reservations/${ids[1]}/ship`);
  await writer.did(`/v1/reservations/${ids[3]}/release`);
  const list = async (status: string) => {
    const found: string[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await writer.get(`/v1/reservations?limit=2${status}${cursor}`);
      found.push(...body.items.map(({ id }) => id));
      if (body.next === null) return found;
      cursor = `&cursor=${body.next}`;
    }
  };
  assert.deepEqual(await list(''), [gone, ...ids]);
  assert.deepEqual(await list('&status=active'), [ids[0], ids[2], ids[4]]);
  assert.deepEqual(await list('&status=closed'), [ids[1], ids[3]]);
  assert.deepEqual(await list('&status=expired'), [gone]);
  const { items } = (await writer.get('/v1/reservations?status=closed')).body;
  assert.deepEqual(items[0], (await writer.get(`/v1/reservations/${ids[1]}`)).body);
});

test('reservations with many lines are listed in pages of fewer, none twice', async (t) => {
  const { id, writer } = await stocked();
  const lines = Array.from({ length: 1001 }, (_, n) => ({ product: `P${n}`, quantity: 10 }));
  await (await api.session(t)).query(
    'INSERT INTO products (tenant_id, product) SELECT $1, unnest($2::text[])',
    [id, lines.map(({ product }) => product)],
  );
  await writer.did('/v1/receipts', { warehouse: 'W1', lines });
  const sizes = [1001, 1001, 1001, 1000, 1000, 1000, 1000, 1, 1001];
  const ids: string[] = [];
  for (const size of sizes) {
    const some = lines.slice(0, size).map(({ product }) => ({ product, quantity: 1 }));
    ids.push((await writer.did('/v1/reservations', { warehouse: 'W1', lines: some })).body.id);
  }
  const pages = async (query: string) => {
    const found: Body[][] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await writer.get(`/v1/reservations?${query}${cursor}`);
      found.push(body.items);
      cursor = body.next && `&cursor=${body.next}`;
    }
    assert.deepEqual(
      found.flat().map((each) => each.id),
      ids,
    );
    assert.deepEqual(
      found.flat().map((each) => each.lines.length),
      sizes,
    );
    return found.map(({ length }) => length);
  };
  assert.deepEqual(await pages('limit=1000'), [3, 4, 2]);
  assert.deepEqual(await pages('status=active&limit=4'), [3, 4, 2]);
  assert.deepEqual(await pages('limit=2'), [2, 2, 2, 2, 1]);
});
