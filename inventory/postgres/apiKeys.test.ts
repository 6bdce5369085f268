import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import type pg from 'pg';
import { sha256 } from '../http/authentication.ts';
import { openPool } from '../testing/pipelineRig.ts';
import { ensureApiKey, findApiKey, listApiKeys, revokeApiKey } from './apiKeys.ts';
import { migrate } from './migrate.ts';

const admin = { tenant: 'acme', role: 'admin', name: 'admin' } as const;

async function openMigrated(t: TestContext): Promise<pg.Pool> {
  const { url } = await createTestDatabase(t);
  await migrate(url);
  return openPool(t, url);
}

test('instances that start together on one key all get it', async (t) => {
  const instances = 8;
  const pool = await openMigrated(t);
  for (let round = 0; round < 40; round++) {
    const key = { ...admin, tenant: `t-${round}` };
    const secret = sha256(randomUUID());
    const all = Array.from({ length: instances }, () => ensureApiKey(pool, key, secret));
    assert.deepEqual(await Promise.all(all), Array(instances).fill('ensured'));
    assert.deepEqual(await findApiKey(pool, secret), key);
  }
});

test('a new secret takes the place of the old one, also of one that was revoked', async (t) => {
  const pool = await openMigrated(t);
  const [old, next] = [sha256('old'), sha256('new')];
  assert.equal(await ensureApiKey(pool, { ...admin, role: 'reader' }, old), 'ensured');
  await revokeApiKey(pool, admin.tenant, admin.name);
  assert.equal(await ensureApiKey(pool, admin, next), 'ensured');
  assert.equal(await findApiKey(pool, old), undefined);
  assert.deepEqual(await findApiKey(pool, next), admin);
});

test('the secret of another key is refused, and both keys stay as they are', async (t) => {
  const pool = await openMigrated(t);
  const [ours, theirs] = [sha256('ours'), sha256('theirs')];
  const other = { tenant: 'else', role: 'reader', name: 'shelf' } as const;
  await ensureApiKey(pool, other, theirs);
  assert.equal(await ensureApiKey(pool, admin, theirs), 'taken');
  assert.deepEqual(await listApiKeys(pool, admin.tenant), []);
  await ensureApiKey(pool, admin, ours);
  assert.equal(await ensureApiKey(pool, admin, theirs), 'taken');
  assert.deepEqual(await findApiKey(pool, theirs), other);
  assert.deepEqual(await findApiKey(pool, ours), admin);
});

test('a key that was revoked stays so', async (t) => {
  const pool = await openMigrated(t);
  const secret = sha256('leaked');
  await ensureApiKey(pool, admin, secret);
  await revokeApiKey(pool, admin.tenant, admin.name);
  assert.equal(await ensureApiKey(pool, admin, secret), 'revoked');
  assert.equal(await findApiKey(pool, secret), undefined);
});
