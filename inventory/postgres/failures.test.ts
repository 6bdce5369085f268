import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import pg from 'pg';
import { failureOf } from './failures.ts';

const database = await createTestDatabase({ after });

test('a statement behind a failed one in a pipeline says nothing against its batch', async (t) => {
  const client = new pg.Client({
    connectionString: database.url,
    pipeline: true,
  } as pg.ClientConfig);
  await client.connect();
  t.after(() => client.end());
  const [, refused, behind] = await Promise.allSettled([
    client.query('BEGIN'),
    client.query('SELECT 1 / 0'),
    client.query('SELECT 1'),
  ]);
  assert.equal(refused?.status === 'rejected' && failureOf(refused.reason), 'refused');
  assert.equal(behind?.status === 'rejected' && failureOf(behind.reason), 'transient');
  await client.query('ROLLBACK');
});
