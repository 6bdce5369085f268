import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import { startApi, stock } from './testing/api.ts';
import { assertProblem, type Reply } from './testing/caller.ts';

const api = await startApi({ after });

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };
const resource = 'product_warehouse:P:W1';

/** A tenant whose batch holds its lock, stuck behind a row lock until `finish`. */
async function stuck(t: TestContext) {
  const tenant = await api.tenant();
  await stock(tenant.writer, 'P');
  const session = await api.session(t);
  await session.query('BEGIN');
  await session.query('SELECT 1 FROM levels WHERE tenant_id = $1 FOR UPDATE', [tenant.id]);
  const sent = tenant.writer.post('/v1/receipts', body);
  await waitFor('the batch holds its lock', async () => {
    return (await tenant.admin.get('/v1/locks')).body.items.length > 0;
  });
  const finish = async (): Promise<Reply> => {
    await session.query('ROLLBACK');
    return sent;
  };
  return { ...tenant, session, finish };
}

test('the lock of a batch is listed for its tenant alone, while it is held', async (t) => {
  const { admin, finish } = await stuck(t);
  const { items } = (await admin.get('/v1/locks')).body;
  assert.partialDeepStrictEqual(items, [{ resource }]);
  const other = await api.tenant();
  assert.deepEqual((await other.admin.get('/v1/locks')).body.items, []);
  const path = `/v1/locks/${encodeURIComponent(resource)}`;
  assertProblem(await other.admin.send('DELETE', path), 'not-found');
  assert.equal((await finish()).status, 201);
  await waitFor('the lock is given back', async () => {
    return (await admin.get('/v1/locks')).body.items.length === 0;
  });
});

test('a lock released by force is written down and changes no quantity', async (t) => {
  const { id, admin, session, finish } = await stuck(t);
  const path = `/v1/locks/${encodeURIComponent(resource)}?reason=stuck`;
  const reply = await admin.send('DELETE', path);
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual((await admin.get('/v1/locks')).body.items, []);
  assert.equal((await finish()).status, 201);
  assert.equal(await admin.level('W1', 'P'), '11/0/11@2');
  const { rows } = await session.query(
    'SELECT resource, reason, released_by FROM lock_releases WHERE tenant_id = $1',
    [id],
  );
  assert.deepEqual(rows, [{ resource, reason: 'stuck', released_by: 'admin' }]);
});

test('a lock that nobody holds is a 404, whatever its name', async () => {
  const { admin } = await api.tenant();
  for (const name of [resource, 'x', 'a\u0000b', '😀', 'x'.repeat(512), '*', '{}']) {
    const reply = await admin.send('DELETE', `/v1/locks/${encodeURIComponent(name)}`);
    assertProblem(reply, 'not-found');
  }
});

test('a reason that cannot be stored is a 400, and the lock stays', async (t) => {
  const { admin, finish } = await stuck(t);
  const path = `/v1/locks/${encodeURIComponent(resource)}`;
  for (const reason of ['a\u0000b', 'a\ud800', 'x'.repeat(501), '', 1]) {
    assertProblem(await admin.send('DELETE', path, { body: { reason } }), 'validation-failed');
  }
  assertProblem(await admin.send('DELETE', `${path}?reason=a%00b`), 'validation-failed');
  assert.equal((await admin.get('/v1/locks')).body.items.length, 1);
  await finish();
});
