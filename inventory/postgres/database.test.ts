import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { openDatabase } from './database.ts';

test('every session has its bounds, whatever options its URL names', async (t) => {
  const url = new URL((await createTestDatabase(t)).url);
  url.searchParams.set('options', '-c lock_timeout=1 -c jit=on -c search_path=elsewhere,public');
  const { writes, lookups, reads, close } = openDatabase({ url: url.href, connections: 6 });
  t.after(close);
  const settings = async (pool: typeof writes, ...names: string[]) => {
    const { rows } = await pool.query<{ value: string }>(
      'SELECT current_setting(name) AS value FROM unnest($1::text[]) AS name',
      [names],
    );
    return rows.map(({ value }) => value);
  };
  const bounds = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'];
  for (const pool of [writes, lookups, reads]) {
    assert.deepEqual(await settings(pool, ...bounds), ['6s', '10s', '4s']);
    assert.deepEqual(await settings(pool, 'search_path'), ['elsewhere,public']);
  }
  assert.deepEqual(await settings(writes, 'jit', 'plan_cache_mode'), ['off', 'force_generic_plan']);
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
