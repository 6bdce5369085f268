import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { sql as drizzleTag, type SQL } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import postgresJs from 'postgres';
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
  let url: string;
  let query: Query;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    ({ url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) }));
    pool = new pg.Pool({ connectionString: url, max: 6 });
    cleanups.push(() => pool.end());
    query = (text, params) => pool.query(text, params);
    await Promise.all(Array.from({ length: 5 }, () => migrate(query, { claims: true })));
    await query('CREATE TABLE effects (key text NOT NULL)', []);
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

  test('two purges at once do not wait for each other, and delete each row once', async () => {
    const scope = crypto.randomUUID();
    const old = Array.from({ length: 200 }, (_, i) => ({ ...record, key: String(i) }));
    await insertRecords(query, scope, old, -1);
    const purged = await Promise.all([purgeRecords(query, 10), purgeRecords(query, 10)]);
    assert.equal(purged[0] + purged[1], 200);
  });

  /** Runs `work` in a transaction of one driver; an error rolls it back. */
  type Transact = (work: (tx: Query) => Promise<void>) => Promise<void>;

  const drivers: Record<string, () => Promise<Transact>> = {
    pg: async () => async (work) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await work((text, params) => client.query(text, params));
        await client.query('COMMIT');
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    },
    'postgres.js': async () => {
      const { host, database } = await address();
      const sql = postgresJs({ path: `${host}/.s.PGSQL.5432`, database, user: 'onhand', max: 2 });
      cleanups.push(() => sql.end());
      return async (work) => {
        await sql.begin((tx) => work((text, params) => tx.unsafe(text, params)));
      };
    },
    Kysely: async () => {
      const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
      return (work) =>
        db
          .transaction()
          .execute((tx) =>
            work((text, params) => tx.executeQuery(CompiledQuery.raw(text, params))),
          );
    },
    Drizzle: async () => {
      const db = drizzle(pool);
      return (work) =>
        db.transaction((tx) => work((text, params) => tx.execute(drizzleSql(text, params))));
    },
  };

  /** Drizzle numbers parameters itself, so `$1` becomes the value that belongs there. */
  function drizzleSql(text: string, params: unknown[]): SQL {
    const parts = text.split(/\$(\d+)/).map((part, i) => {
      return i % 2 ? drizzleTag.param(params[Number(part) - 1]) : drizzleTag.raw(part);
    });
    return drizzleTag.join(parts, drizzleTag.raw(''));
  }

  async function address() {
    const parsed = new URL(url);
    return {
      host: parsed.searchParams.get('host') ?? decodeURIComponent(parsed.hostname),
      database: parsed.pathname.slice(1),
    };
  }

  for (const [name, open] of Object.entries(drivers)) {
    test(`effect and record commit or roll back together through ${name}`, async () => {
      const transact = await open();
      const scope = crypto.randomUUID();
      const work = (key: string, fail: boolean) =>
        transact(async (tx) => {
          await tx('INSERT INTO effects (key) VALUES ($1)', [scope + key]);
          await insertRecord(tx, scope, key, record, day);
          if (fail) throw new Error('rolled back');
        });
      await work('kept', false);
      await assert.rejects(work('lost', true), /rolled back/);
      await assert.rejects(work('kept', false), 'the record is there already');
      const found = await findRecords(query, scope, ['kept', 'lost']);
      assert.deepEqual([...found.keys()], ['kept']);
      assert.deepEqual(found.get('kept')?.answer, record.answer);
      const { rows } = await pool.query('SELECT key FROM effects WHERE key LIKE $1', [`${scope}%`]);
      assert.deepEqual(rows, [{ key: `${scope}kept` }]);
      let seen: unknown;
      await transact(async (tx) => {
        seen = (await findRecords(tx, scope, ['kept'])).get('kept')?.answer;
      }).catch((error) => assert.fail(error));
      assert.deepEqual(seen, record.answer);
    });
  }
});
