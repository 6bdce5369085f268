import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { openDatabase } from './database.ts';

test('every session has its bounds, whatever options its URL names', async (t) => {
  const url = new URL((await createTestDatabase(t)).url);
  url.searchParams.set('options', '-c lock_timeout=1 -c jit=on -c search_path=elsewhere,public');
  const { writes, reads, close } = openDatabase({ url: url.href, connections: 2 });
  t.after(close);
  const settings = async (pool: typeof writes, ...names: string[]) => {
    const { rows } = await pool.query<{ value: string }>(
      'SELECT current_setting(name) AS value FROM unnest($1::text[]) AS name',
      [names],
    );
    return rows.map(({ value }) => value);
  };
  const bounds = ['lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout'];
  for (const pool of [writes, reads]) {
    assert.deepEqual(await settings(pool, ...bounds), ['6s', '10s', '4s']);
    assert.deepEqual(await settings(pool, 'search_path'), ['elsewhere,public']);
  }
  assert.deepEqual(await settings(writes, 'jit', 'plan_cache_mode'), ['off', 'force_generic_plan']);
});
