import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { waitingSessions } from '../testing/pipelineRig.ts';
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

test('what reversals bring back to a reservation that has expired is available to the next command', async (t) => {
  const { id: tenant, writer, admin } = await stocked('P', 'Q');
  const { id } = (await writer.did('/v1/reservations', { ...p(9), ttlSeconds: 1 })).body;
  const ship = async (quantity: number) => {
    const lines = [{ product: 'P', quantity }];
    return (await writer.did(`/v1/reservations/${id}/ship`, { lines })).body.posting.id;
  };
  const shipped = [await ship(2), await ship(3)];
  await waitFor('the reservation has expired', async () => {
    return (await writer.get(`/v1/reservations/${id}`)).body.status === 'expired';
  });
  assert.equal(await writer.level('W1', 'P'), '5/0/5@4');
  const commands = [
    ...shipped.map((posting) => ({ type: 'reversal', posting, reason: 'came back' })),
    { type: 'shipment', ...p(10) },
    { type: 'shipment', ...p(1) },
  ].map((command, n) => ({ ...command, idempotencyKey: `late-${n}` }));
  const statuses = [201, 201, 201, 409];
  const preview = await writer.post('/v1/batches?dryRun=true', { commands });
  assert.deepEqual(
    preview.body.results.map(({ status }) => status),
    statuses,
  );
  // While one batch waits for its levels, all of the next gathers.
  const session = await api.session(t);
  await session.query(`BEGIN; SELECT FROM levels WHERE tenant_id = '${tenant}' FOR UPDATE`);
  const first = writer.did('/v1/receipts', {
    warehouse: 'W1',
    lines: [{ product: 'Q', quantity: 1 }],
  });
  await waitFor('a batch waits', async () => (await waitingSessions(session)) === 1);
  const sent = writer.post('/v1/batches', { commands });
  await waitFor('the others gather', async () => {
    const { text } = await admin.get('/metrics');
    return /^onhand_queue_commands 4$/m.test(text);
  });
  await session.query('COMMIT');
  await first;
  const { results } = (await sent).body;
  assert.deepEqual(
    results.map(({ status }) => status),
    statuses,
  );
  // Opening, hold, two shipments; the end of what was left, two returns with their ends, a
  // shipment.
  assert.equal(await writer.level('W1', 'P'), '0/0/0@10');
  assert.partialDeepStrictEqual((await writer.get(`/v1/reservations/${id}`)).body, {
    status: 'expired',
    lines: [{ quantity: 9, shipped: 0, released: 0 }],
  });
  const { rows } = await session.query(
    'SELECT expired::int FROM reservation_lines WHERE tenant_id = $1',
    [tenant],
  );
  assert.deepEqual(rows, [{ expired: 9 }]);
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
