import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { ensureApiKey } from '../postgres/apiKeys.ts';
import { migrate } from '../postgres/migrate.ts';
import { openSession } from '../testing/pipelineRig.ts';
import { sha256 } from './authentication.ts';
import { listen } from './testing/api.ts';
import { Caller } from './testing/caller.ts';

for (const dateStyle of ['SQL, DMY', 'German']) {
  test(`answers are the same where the database writes its values as ${dateStyle}`, async (t) => {
    const { url: databaseUrl, name } = await createTestDatabase(t);
    const session = await openSession(t, databaseUrl);
    for (const [setting, value] of [
      ['datestyle', dateStyle],
      ['timezone', "'Asia/Kathmandu'"],
      ['intervalstyle', 'sql_standard'],
      ['bytea_output', 'escape'],
      ['extra_float_digits', '-15'],
      ['array_nulls', 'off'],
    ]) {
      await session.query(`ALTER DATABASE ${name} SET ${setting} = ${value}`);
    }
    await migrate(databaseUrl);
    const { service, url } = await listen(t, { databaseUrl, redisUrl: undefined }, {});
    const admin = { tenant: 'demo', role: 'admin', name: 'admin' } as const;
    await ensureApiKey(service.database.writes, admin, sha256('a-secret-of-this-test'));
    const caller = new Caller(url, 'a-secret-of-this-test');
    for (const path of ['/v1/warehouses/W1', '/v1/products/A', '/v1/products/B']) {
      assert.equal((await caller.put(path)).status, 201);
      assert.equal((await caller.get(path)).status, 200);
    }
    const lines = ['A', 'B'].map((product) => ({ product, quantity: 2 }));
    const body = { warehouse: 'W1', lines };
    const receipt = await caller.post('/v1/receipts', body);
    assert.equal(receipt.status, 201, receipt.text);
    const reservation = await caller.post('/v1/reservations', { ...body, ttlSeconds: 60 });
    assert.equal(reservation.status, 201, reservation.text);
    for (const made of [receipt, reservation]) {
      const read = await caller.get(made.headers.get('location') as string);
      assert.deepEqual(read.body, made.body);
    }
    const { body: verified } = await caller.get('/v1/verify');
    assert.deepEqual({ ...verified }, { valid: true, levels: 2, movements: 4, faults: [] });
  });
}
