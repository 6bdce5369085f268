import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { sha256 } from '../http/authentication.ts';
import { openPool, openSession, waitingSessions } from '../testing/pipelineRig.ts';
import { createApiKey, ensureApiKey, findApiKeys, listApiKeys, revokeApiKey } from './apiKeys.ts';
import { migrate } from './migrate.ts';

const admin = { tenant: 'acme', role: 'admin', name: 'admin' } as const;

async function findApiKey(pool: pg.Pool, secret: string) {
  return (await findApiKeys(pool, [secret])).get(secret);
}

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

for (const [how, add] of [
  ['made', createApiKey],
  ['started with', ensureApiKey],
] as const) {
  test(`a key that was revoked stays so when others of its name are ${how}`, async (t) => {
    const pool = await openMigrated(t);
    const secrets = Array.from({ length: 4 }, () => sha256(randomUUID()));
    for (const secret of secrets) {
      await revokeApiKey(pool, admin.tenant, admin.name);
      await add(pool, admin, secret);
    }
    const [last, ...leaked] = secrets.toReversed() as [string, ...string[]];
    assert.deepEqual(await findApiKey(pool, last), admin);
    for (const secret of leaked) {
      assert.equal(await createApiKey(pool, { ...admin, name: 'other' }, secret), false);
      assert.equal(await ensureApiKey(pool, admin, secret), 'revoked');
      assert.equal(await findApiKey(pool, secret), undefined);
    }
    assert.deepEqual(await findApiKey(pool, last), admin);
    const keys = await listApiKeys(pool, admin.tenant);
    assert.deepEqual(
      keys.map(({ name, revokedAt }) => [name, revokedAt !== null]),
      [...leaked.map(() => ['admin', true]), ['admin', false]],
    );
  });
}

test('a key that is revoked while another takes its place stays revoked', async (t) => {
  const pool = await openMigrated(t);
  const session = await openSession(t, pool.options.connectionString as string);
  const [leaked, next] = [sha256('leaked'), sha256('next')];
  await ensureApiKey(pool, admin, leaked);
  // Its one connection.
  await pool.query("SET application_name = 'onhand'");
  await session.query('BEGIN; UPDATE api_keys SET revoked_at = now()');
  const ensured = ensureApiKey(pool, admin, next);
  await waitFor('it waits for the row', async () => (await waitingSessions(session)) === 1);
  await session.query('COMMIT');
  assert.equal(await ensured, 'ensured');
  assert.deepEqual(await findApiKey(pool, next), admin);
  assert.equal(await ensureApiKey(pool, admin, leaked), 'revoked');
});
