import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock } from './testing/api.ts';
import { assertFaults, assertProblem, type Caller } from './testing/caller.ts';

const api = await startApi({ after });

const p = (quantity: number) => ({ warehouse: 'W1', lines: [{ product: 'P', quantity }] });

function dry(caller: Caller, path: string, body?: unknown) {
  return caller.send('POST', `${path}?dryRun=true`, { body });
}

/** Rows of every table that a command could write to. */
async function rows(tenant: string): Promise<unknown> {
  const { rows: counts } = await api.service.database.reads.query(
    `SELECT (SELECT json_agg(l) FROM (SELECT warehouse, product, on_hand, reserved,
                    sequence FROM levels WHERE tenant_id = $1 ORDER BY 1, 2) l) AS levels,
            (SELECT count(*) FROM movements WHERE tenant_id = $1) AS movements,
            (SELECT count(*) FROM postings WHERE tenant_id = $1) AS postings,
            (SELECT count(*) FROM reservations WHERE tenant_id = $1) AS reservations,
            (SELECT json_agg(to_json(r)) FROM reservation_lines r WHERE tenant_id = $1) AS lines,
            (SELECT count(*) FROM idempotency_records WHERE scope = $1) AS records`,
    [tenant],
  );
  return counts[0];
}

test('a dry run of every command answers 200 with what would happen, and writes nothing', async () => {
  const { id, writer } = await api.tenant();
  await stock(writer, 'P');
  const { body: held } = await writer.did('/v1/reservations', { ...p(3), ttlSeconds: 600 });
  const { body: posting } = await writer.did('/v1/receipts', p(1));
  const before = await rows(id);
  const { lines } = p(1);
  const commands: [path: string, body: unknown, expected: object][] = [
    ['/v1/receipts', p(5), { type: 'receipt', movements: [{ onHand: 16, sequence: 4 }] }],
    ['/v1/shipments', p(5), { type: 'shipment', movements: [{ onHand: 6 }] }],
    ['/v1/transfers', { from: 'W1', to: 'W2', lines }, { type: 'transfer' }],
    [
      '/v1/adjustments',
      { warehouse: 'W1', reason: 'r', lines: [{ product: 'P', change: -2 }] },
      { type: 'adjustment', movements: [{ onHand: 9 }] },
    ],
    [
      '/v1/counts',
      { warehouse: 'W2', lines: [{ product: 'P', counted: 7, expectedSequence: 0 }] },
      { type: 'count', movements: [{ warehouse: 'W2', onHand: 7, sequence: 1 }] },
    ],
    ['/v1/reservations', p(5), { status: 'active', posting: { type: 'reservation' } }],
    [`/v1/reservations/${held.id}/ship`, {}, { id: held.id, status: 'closed' }],
    [`/v1/reservations/${held.id}/release`, { lines }, { id: held.id, status: 'active' }],
    [`/v1/reservations/${held.id}/extend`, { ttlSeconds: 900 }, { id: held.id }],
    [`/v1/postings/${posting.id}/reverse`, { reason: 'r' }, { reverses: posting.id }],
    ['/v1/shipments', p(99), { code: 'insufficient-stock', lines: [{ available: 8 }] }],
    ['/v1/receipts', { ...p(1), warehouse: 'W9' }, { code: 'unknown-warehouse' }],
    ['/v1/postings/x/reverse', { reason: 'r' }, { code: 'not-found' }],
  ];
  for (const [path, body, expected] of commands) {
    const reply = await dry(writer, path, body);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.headers.get('location'), null);
    assert.match(reply.headers.get('content-type') ?? '', /^application\/json/);
    assert.partialDeepStrictEqual(reply.body as object, expected);
  }
  assert.deepEqual(await rows(id), before);
});

test('a dry run does not use the key that it is sent with', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  const reply = await writer.post('/v1/receipts?dryRun=true', p(5), 'k');
  assert.equal(reply.status, 200);
  assertProblem(await writer.get('/v1/idempotency-keys/k'), 'not-found');
  const real = await writer.did('/v1/receipts', p(5), 'k');
  assert.equal(real.headers.get('idempotent-replayed'), null);
});

test('a dry run takes no lock and makes no claim', async (t) => {
  const { id, writer } = await api.tenant();
  await stock(writer, 'P');
  const session = await api.session(t);
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM levels WHERE tenant_id = $1 FOR UPDATE', [id]);
  // It would wait for this lock, and fail after the lock time-out.
  assert.equal((await dry(writer, '/v1/shipments', p(1))).status, 200);
});

test('a dry run with a fault in its body is a 400 that names the fault, not the key', async () => {
  const { writer } = await api.tenant();
  assertFaults(await dry(writer, '/v1/receipts', { ...p(1), lines: [] }), '$.lines');
  assertFaults(await dry(writer, '/v1/receipts', '{}'), '$.warehouse', '$.lines');
});

test('a dry run of a batch decides its commands in order, each on what those before left', async () => {
  const { id, writer } = await api.tenant();
  await stock(writer, 'P');
  const before = await rows(id);
  const commands = [
    { type: 'receipt', ...p(5) },
    { type: 'shipment', ...p(15) },
    { type: 'shipment', ...p(1) },
    { type: 'theft' },
  ];
  const reply = await dry(writer, '/v1/batches', { commands });
  assert.equal(reply.status, 200);
  assert.deepEqual(
    reply.body.results.map(({ status, body }) => [status, body.code ?? body.type]),
    [
      [201, 'receipt'],
      [201, 'shipment'],
      [409, 'insufficient-stock'],
      [400, 'validation-failed'],
    ],
  );
  assert.deepEqual(await rows(id), before);
});

test('?dryRun=false is a command', async () => {
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  await writer.did('/v1/receipts?dryRun=false', p(1));
  assert.equal(await writer.level('W1', 'P'), '11/0/11@2');
});

test('a reader may not even try', async () => {
  const { reader } = await api.tenant();
  assertProblem(await dry(reader, '/v1/receipts', p(1)), 'forbidden');
});
