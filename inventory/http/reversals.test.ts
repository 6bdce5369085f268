import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock, type Tenant } from './testing/api.ts';
import { assertFaults, assertProblem, type Caller } from './testing/caller.ts';

const api = await startApi({ after });

async function stocked(...products: string[]): Promise<Tenant> {
  const tenant = await api.tenant();
  await stock(tenant.writer, ...products);
  return tenant;
}

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });

function reverse(writer: Caller, posting: string) {
  return writer.post(`/v1/postings/${posting}/reverse`, { reason: 'mistake' });
}

test('a reversal is the opposite posting and names what it reverses', async () => {
  const { writer } = await stocked('P', 'Q');
  const lines = [
    { product: 'P', quantity: 3 },
    { product: 'Q', quantity: 4 },
  ];
  const { body } = await writer.did('/v1/transfers', { from: 'W1', to: 'W2', lines });
  const reply = await reverse(writer, body.id);
  assert.equal(reply.status, 201);
  assert.partialDeepStrictEqual(reply.body, {
    type: 'reversal',
    reason: 'mistake',
    reverses: body.id,
  });
  assert.equal(reply.headers.get('location'), `/v1/postings/${reply.body.id}`);
  assert.deepEqual((await writer.get(`/v1/postings/${reply.body.id}`)).body, reply.body);
  for (const product of ['P', 'Q']) {
    assert.equal(await writer.level('W1', product), '10/0/10@3');
    assert.equal(await writer.level('W2', product), '0/0/0@2');
  }
});

test('a posting is reversed once; its reversal can be reversed in turn', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/shipments', p(4));
  const first = await reverse(writer, body.id);
  const again = await reverse(writer, body.id);
  assertProblem(again, 'already-reversed', { posting: body.id, reversal: first.body.id });
  assert.equal(await writer.level('W1', 'P'), '10/0/10@3');
  assert.equal((await reverse(writer, first.body.id)).status, 201);
  assert.equal(await writer.level('W1', 'P'), '6/0/6@4');
});

test('a reversal that the stock does not allow is refused, and allowed later', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/receipts', p(5));
  await writer.did('/v1/shipments', p(12));
  assertProblem(await reverse(writer, body.id), 'insufficient-stock', {
    lines: [{ warehouse: 'W1', product: 'P', requested: 5, available: 3 }],
  });
  await writer.did('/v1/receipts', p(2));
  assert.equal((await reverse(writer, body.id)).status, 201);
  assert.equal(await writer.level('W1', 'P'), '0/0/0@5');
});

test('the reversal of a reservation frees its units and closes it', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/reservations', p(4));
  assert.equal((await reverse(writer, body.posting.id)).status, 201);
  assert.equal(await writer.level('W1', 'P'), '10/0/10@3');
  const after_ = await writer.get(`/v1/reservations/${body.id}`);
  assert.equal(after_.body.status, 'closed');
  const ship = await writer.post(`/v1/reservations/${body.id}/ship`);
  assertProblem(ship, 'reservation-closed');
});

test('the reversal of a shipment from a reservation holds the units again', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/reservations', p(4));
  const shipped = await writer.did(`/v1/reservations/${body.id}/ship`);
  assert.equal((await reverse(writer, shipped.body.posting.id)).status, 201);
  assert.equal(await writer.level('W1', 'P'), '10/4/6@4');
  const again = await writer.get(`/v1/reservations/${body.id}`);
  assert.partialDeepStrictEqual(again.body, { status: 'active', lines: [{ shipped: 0 }] });
  await writer.did(`/v1/reservations/${body.id}/ship`);
});

test('a reservation of which units were shipped cannot be reversed whole', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/reservations', p(4));
  await writer.did(`/v1/reservations/${body.id}/ship`, { lines: [{ product: 'P', quantity: 1 }] });
  const reply = await reverse(writer, body.posting.id);
  assert.equal(reply.status, 409);
  assert.equal(await writer.level('W1', 'P'), '9/3/6@3');
});

test('an extension moved no stock and cannot be reversed', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/reservations', { ...p(4), ttlSeconds: 60 });
  const later = await writer.did(`/v1/reservations/${body.id}/extend`, { ttlSeconds: 600 });
  assertFaults(await reverse(writer, later.body.posting.id), '$.posting');
});

test('a reversal needs a reason', async () => {
  const { writer } = await stocked('P');
  const { body } = await writer.did('/v1/receipts', p(5));
  const path = `/v1/postings/${body.id}/reverse`;
  for (const reason of [undefined, '', 1, 'x'.repeat(501)]) {
    assertFaults(await writer.post(path, { reason }), '$.reason');
  }
  assertFaults(await writer.post(path), '$.reason');
});

test('an id is the same in upper case', async () => {
  const { writer } = await stocked('P');
  const { id } = (await writer.did('/v1/receipts', p(5))).body;
  assert.equal((await writer.get(`/v1/postings/${id.toUpperCase()}`)).body.id, id);
  assert.equal((await reverse(writer, id.toUpperCase())).status, 201);
  assertProblem(await reverse(writer, id), 'already-reversed');
});
