import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApi, stock } from './http/testing/api.ts';
import { assertProblem } from './http/testing/caller.ts';
import { openSession } from './testing/pipelineRig.ts';

const receipt = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

test('an address that leads to a server without writes for a while costs no more than that while', async (t) => {
  const api = await startApi(t);
  const { writer } = await api.tenant();
  await stock(writer, 'P');
  await writer.did('/v1/receipts', receipt, 'before');
  const session = await openSession(t, api.databaseUrl);
  const database = new URL(api.databaseUrl).pathname.slice(1);
  // New sessions cannot write, as on a standby; the ones before are gone, as with the primary.
  await session.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
  await session.query(`
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'onhand'`);
  const during = await Promise.all([
    api.anonymous.get('/readyz'),
    writer.post('/v1/receipts', receipt, 'during'),
    writer.get('/v1/idempotency-keys/elsewhere'),
    writer.get('/v1/stock/W1/P'),
  ]);
  for (const reply of during) assertProblem(reply, 'database-unavailable');
  assert.match(api.logs(), /takes no writes: default_transaction_read_only is on/);
  await session.query(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
  assert.equal((await api.anonymous.get('/readyz')).status, 200);
  await writer.did('/v1/receipts', receipt, 'during');
  assert.equal((await writer.get('/v1/idempotency-keys/before')).status, 200);
  assert.equal(await writer.level('W1', 'P'), '12/0/12@3');
});

for (const pool of ['writes', 'reads'] as const) {
  test(`a connection for ${pool} that cannot write any more is no longer ready, and replaced`, async (t) => {
    const api = await startApi(t);
    await api.service.database[pool].query('SET default_transaction_read_only = on');
    assertProblem(await api.anonymous.get('/readyz'), 'database-unavailable');
    assert.equal((await api.anonymous.get('/readyz')).status, 200);
  });
}
