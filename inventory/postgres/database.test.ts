import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { openSession } from '../testing/pipelineRig.ts';
import { openDatabase } from './database.ts';

/** Connections of the service whose role or database has other defaults. */
async function openWith(t: TestContext, options: string) {
  const url = new URL((await createTestDatabase(t)).url);
  url.searchParams.set('options', options);
  const { writes, lookups, reads, close } = openDatabase({ url: url.href, connections: 6 });
  t.after(close);
  const settings = async (pool: typeof writes, ...names: string[]) => {
    const { rows } = await pool.query<{ value: string }>(
      'SELECT current_setting(name) AS value FROM unnest($1::text[]) AS name',
      [names],
    );
    return rows.map(({ value }) => value);
  };
  return { writes, lookups, reads, settings };
}

test('every session has its bounds, whatever options its URL names', async (t) => {
  const { writes, lookups, reads, settings } = await openWith(
    t,
    '-c lock_timeout=1 -c jit=on -c search_path=elsewhere,public',
  );
  const bounds = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'];
  for (const pool of [writes, lookups, reads]) {
    assert.deepEqual(await settings(pool, ...bounds), ['6s', '10s', '4s']);
    assert.deepEqual(await settings(pool, 'search_path'), ['elsewhere,public']);
  }
  assert.deepEqual(await settings(writes, 'jit', 'plan_cache_mode'), ['off', 'force_generic_plan']);
});

for (const [given, taken] of [
  ['off', 'on'],
  ['local', 'on'],
  ['on', 'on'],
  ['remote_write', 'remote_write'],
  ['remote_apply', 'remote_apply'],
] as const) {
  test(`a commit waits as for ${taken} where the default is ${given}`, async (t) => {
    const { writes, reads, settings } = await openWith(t, `-c synchronous_commit=${given}`);
    for (const pool of [writes, reads]) {
      assert.deepEqual(await settings(pool, 'synchronous_commit'), [taken]);
    }
  });
}

test('a transaction_timeout of the database does not end a batch that waits', async (t) => {
  const { url, name } = await createTestDatabase(t);
  const session = await openSession(t, url);
  const { rows } = await session.query('SHOW server_version_num');
  if (Number(rows[0].server_version_num) < 170_000) return t.skip('PostgreSQL knows it from 17 on');
  await session.query(`ALTER DATABASE ${name} SET transaction_timeout = '100ms'`);
  const { writes, reads, close } = openDatabase({ url, connections: 2 });
  t.after(close);
  // The time-out has to pass.
  for (const pool of [writes, reads]) await pool.query('SELECT pg_sleep(0.2)');
});

for (const [connections, split] of [
  [2, [1, 1]],
  [5, [4, 1]],
  [6, [3, 1, 2]],
  [16, [11, 2, 3]],
] as const) {
  test(`${connections} connections are ${split.join(' + ')}`, async (t) => {
    const database = openDatabase({ url: 'postgres://nowhere', connections });
    t.after(() => database.close());
    const pools = new Set([database.writes, database.lookups, database.reads]);
    assert.deepEqual(
      Array.from(pools, (pool) => pool.options.max),
      split,
    );
  });
}
