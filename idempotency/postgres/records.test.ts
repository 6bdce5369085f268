import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import type pg from 'pg';
import type { IdempotencyRecord } from '../answer.ts';
import { deleteExpiredRecords } from './delete-expired-records.ts';
import { findRecords } from './find-records.ts';
import { insertRecord } from './insert-record.ts';
import { insertRecords } from './insert-records.ts';
import { migrate } from './migrate.ts';
import { purgeRecords } from './purge-records.ts';
import type { Query } from './query.ts';

const day = 86_400_000;
const record: IdempotencyRecord = {
  fingerprint: '0f'.repeat(32),
  answer: {
    status: 201,
    headers: { location: '/ä"\\', 'content-type': 'x/y' },
    body: Buffer.from([0, 1, 39, 92, 255]),
  },
};

describe('records in PostgreSQL', () => {
  let pool: pg.Pool;
  let query: Query;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const { url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) });
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: url, max: 6 },
    );
    query = (text, params) => pool.query(text, params);
    await Promise.all(Array.from({ length: 5 }, () => migrate(query, { claims: true })));
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  const insert = (scope: string, key: string, retentionMs = day) =>
    insertRecord(query, scope, key, record, retentionMs);

  test('many records are inserted and found as they were, by scope and key', async () => {
    const scope = crypto.randomUUID();
    const keys = ['a', '"b"', '{c,d}', '\\e', '~'.repeat(255)];
    await insertRecords(
      query,
      scope,
      keys.map((key) => ({ ...record, key })),
      day,
    );
    const began = Date.now();
    const found = await findRecords(query, scope, [...keys, 'absent']);
    assert.deepEqual([...found.keys()].sort(), [...keys].sort());
    for (const { expiresAt, ...rest } of found.values()) {
      assert.deepEqual(rest, record);
      assert.ok(Math.abs((expiresAt ?? 0) - began - day) < 60_000);
    }
    assert.equal((await findRecords(query, `${scope}x`, keys)).size, 0);
  });

  test('a key that is recorded refuses the whole batch with a unique violation', async () => {
    const scope = crypto.randomUUID();
    await insert(scope, 'old');
    const batch = ['new', 'old'].map((key) => ({ ...record, key }));
    await assert.rejects(insertRecords(query, scope, batch, day), { code: '23505' });
    await assert.rejects(insert(scope, 'old'), { code: '23505' });
    assert.deepEqual([...(await findRecords(query, scope, ['new', 'old'])).keys()], ['old']);
  });

  test('the purge deletes what is expired, in chunks, and nothing else', async () => {
    const [one, two] = [`a-${crypto.randomUUID()}`, `b-${crypto.randomUUID()}`];
    for (let i = 0; i < 5; i++) await insert(one, `old-${i}`, -1);
    await insert(two, 'old', -1);
    await insert(one, 'kept');
    assert.ok((await findRecords(query, one, ['old-0'])).has('old-0'), 'found until purged');
    assert.equal(await deleteExpiredRecords(query, one, 2), 2);
    assert.equal(await purgeRecords(query, 2), 4);
    assert.equal(await purgeRecords(query, 2), 0);
    assert.ok((await findRecords(query, one, ['kept'])).has('kept'));
  });

  test('the purge reaches the one scope of a single tenant, which is empty', async () => {
    await insert('', crypto.randomUUID(), -1);
    assert.equal(await purgeRecords(query), 1);
  });

  test('two purges at once do not wait for each other, and delete each row once', async () => {
    const scope = crypto.randomUUID();
    const old = Array.from({ length: 200 }, (_, i) => ({ ...record, key: String(i) }));
    await insertRecords(query, scope, old, -1);
    const purged = await Promise.all([purgeRecords(query, 10), purgeRecords(query, 10)]);
    assert.equal(purged[0] + purged[1], 200);
  });
});
