import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import pg from 'pg';
import { isMigrated, MigrationError, migrate } from './migrate.ts';

/** An empty database, and a session on it. */
async function database(t: TestContext) {
  const { url } = await createTestDatabase(t);
  const pool = new pg.Pool({ connectionString: url });
  // DROP DATABASE, which comes first, ends idle sessions.
  pool.on('error', () => {});
  t.after(() => pool.end());
  return { url, pool };
}

test('an empty database is brought to this code once, and is current then', async (t) => {
  const { url, pool } = await database(t);
  const applied = await migrate(url);
  assert.equal(applied[0], '000001_initial.sql');
  assert.equal(await isMigrated(pool), true);
  assert.deepEqual(await migrate(url), []);
  const { rows } = await pool.query('SELECT name FROM schema_migrations ORDER BY version');
  assert.deepEqual(
    rows.map(({ name }) => name),
    applied,
  );
});

test('instances that start together migrate once', async (t) => {
  const { url } = await database(t);
  const applied = await Promise.all([migrate(url), migrate(url), migrate(url), migrate(url)]);
  assert.equal(applied.filter((names) => names.length > 0).length, 1);
});

test('a schema that is newer than the code is refused in one line', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  await pool.query(
    `INSERT INTO schema_migrations (version, name, checksum)
     VALUES (999999, '999999_future.sql', 'x')`,
  );
  await assert.rejects(migrate(url), (error: Error) => {
    assert.ok(error instanceof MigrationError);
    assert.match(error.message, /^the database is newer than this release: .*999999_future\.sql/);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  assert.equal(await isMigrated(pool), false);
});

test('a migration that was changed after it was applied is refused', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  await pool.query(`UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 1`);
  await assert.rejects(migrate(url), {
    name: 'MigrationError',
    message: /^migration 000001_initial\.sql was changed after it was applied/,
  });
});

test('a migration that fails leaves nothing of itself, and succeeds when its cause is gone', async (t) => {
  const { url, pool } = await database(t);
  await pool.query('CREATE TABLE lock_releases (a integer)');
  await assert.rejects(migrate(url), {
    name: 'MigrationError',
    message: /^migration 000001_initial\.sql failed: .*lock_releases.* already exists/,
  });
  const { rows } = await pool.query(`SELECT to_regclass('levels') AS levels`);
  assert.deepEqual(rows, [{ levels: null }]);
  await pool.query('DROP TABLE lock_releases');
  assert.equal((await migrate(url))[0], '000001_initial.sql');
});

test('the tenant leads every primary key and index, but for the look-up of an API key', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  const { rows } = await pool.query<{ index: string }>(
    `SELECT c.relname AS index FROM pg_index i
     JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE a.attname NOT IN ('tenant_id', 'scope') ORDER BY 1`,
  );
  assert.deepEqual(
    rows.map(({ index }) => index),
    ['api_keys_secret_sha256_key', 'schema_migrations_pkey'],
  );
});
