import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createTestDatabase, startService, startTestRedis } from '@onhand/fixtures';
import { runChecks, textReport } from './index.ts';

test('the inventory service passes every check', async (t) => {
  const database = await createTestDatabase(t);
  const redis = await startTestRedis(t);
  const env = { DATABASE_URL: database.url, REDIS_URL: redis.url };
  const service = await startService(t, { env });
  const authorization = `Bearer ${service.apiKey}`;
  for (const path of ['warehouses/W1', 'products/SKU-1']) {
    const headers = { authorization, 'content-type': 'application/json' };
    const put = await fetch(`${service.url}/v1/${path}`, { method: 'PUT', headers, body: '{}' });
    assert.equal(put.status, 201, await put.text());
  }
  const body = {
    warehouse: 'W1',
    lines: [{ product: 'SKU-1', quantity: 5 }],
    reference: 'PO-1',
  };
  const results = await runChecks({
    url: `${service.url}/v1/receipts`,
    otherUrl: `${service.url}/v1/shipments`,
    body,
    failingBody: { ...body, warehouse: 'nowhere' },
    vary: '/reference',
    headers: [['Authorization', authorization]],
    secondCredential: ['Authorization', `Bearer ${await otherTenant(env)}`],
    observe: `${service.url}/v1/stock/W1/SKU-1`,
    observePointer: '/onHand',
    rate: 1_000,
  });
  const failed = results.filter((result) => result.verdict === 'fail');
  assert.deepEqual(failed, [], textReport(results));
  const skipped = results.filter((result) => result.verdict === 'not-applicable');
  // A JSON API has no binary bodies.
  assert.deepEqual(
    skipped.map((result) => result.check.id),
    ['binary-body'],
  );
});

/** The key of a tenant that shares the database and Redis. */
async function otherTenant(env: Record<string, string>): Promise<string> {
  const script = join(import.meta.dirname, '..', 'inventory', 'apiKeys.ts');
  const args = ['create', '--tenant', 'other', '--role', 'writer', '--name', 'check'];
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], { env });
  return stdout.trim();
}
