import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import { sql as drizzleTag, type SQL } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import type pg from 'pg';
import postgresJs from 'postgres';
import { type Captured, type Incoming, Protection } from '../http/protection.ts';
import { prismaClient } from '../testing/prisma-client.ts';
import { deleteExpiredRecords } from './delete-expired-records.ts';
import { insertRecord } from './insert-record.ts';
import { migrate } from './migrate.ts';
import { purgeRecords } from './purge-records.ts';
import type { Query } from './query.ts';

/** One way to PostgreSQL: on its own, and within a transaction that an error rolls back. */
interface Driver {
  query: Query;
  transact(work: (tx: Query) => Promise<void>): Promise<void>;
}

describe('the record in the transaction of each driver', () => {
  let pool: pg.Pool;
  let url: string;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    ({ url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) }));
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: url, max: 6 },
    );
    await pool.query('CREATE TABLE effects (key text NOT NULL)');
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  const drivers: Record<string, () => Driver> = {
    pg: () => ({
      query: (text, params) => pool.query(text, params),
      async transact(work) {
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
    }),
    'postgres.js': () => {
      const { host, database } = address();
      const sql = postgresJs({ path: `${host}/.s.PGSQL.5432`, database, user: 'onhand', max: 2 });
      cleanups.push(() => sql.end());
      return {
        query: (text, params) => sql.unsafe(text, params),
        async transact(work) {
          await sql.begin((tx) => work((text, params) => tx.unsafe(text, params)));
        },
      };
    },
    Kysely: () => {
      const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
      return {
        query: (text, params) => db.executeQuery(CompiledQuery.raw(text, params)),
        transact: (work) =>
          db
            .transaction()
            .execute((tx) =>
              work((text, params) => tx.executeQuery(CompiledQuery.raw(text, params))),
            ),
      };
    },
    Drizzle: () => {
      const db = drizzle(pool);
      return {
        query: (text, params) => db.execute(drizzleSql(text, params)),
        transact: (work) =>
          db.transaction((tx) => work((text, params) => tx.execute(drizzleSql(text, params)))),
      };
    },
    Prisma: () => {
      const { host, database } = address();
      const prisma = prismaClient({ host, database, user: 'onhand', max: 2 });
      cleanups.push(() => prisma.$disconnect());
      return {
        query: (text, params) => prisma.$queryRawUnsafe(text, ...params),
        transact: (work) =>
          prisma.$transaction((tx) => work((text, params) => tx.$queryRawUnsafe(text, ...params))),
      };
    },
  };

  /** Drizzle numbers parameters itself, so `$1` becomes the value that belongs there. */
  function drizzleSql(text: string, params: unknown[]): SQL {
    const parts = text.split(/\$(\d+)/).map((part, i) => {
      return i % 2 ? drizzleTag.param(params[Number(part) - 1]) : drizzleTag.raw(part);
    });
    return drizzleTag.join(parts, drizzleTag.raw(''));
  }

  function address() {
    const parsed = new URL(url);
    return {
      host: parsed.searchParams.get('host') ?? decodeURIComponent(parsed.hostname),
      database: parsed.pathname.slice(1),
    };
  }

  for (const [name, open] of Object.entries(drivers)) {
    test(`effect and record commit or roll back together through ${name}`, async () => {
      const { query, transact } = open();
      await migrate(query);
      const scope = crypto.randomUUID();
      /** A request to a process of its own, with nothing but the database in common. */
      const post = async (key: string, fails = false) => {
        const protection = new Protection({ scope: () => scope, query });
        const outcome = protection.answer(incoming(scope, key), async (idempotency) => {
          assert.ok(idempotency);
          let captured: Captured | undefined;
          await transact(async (tx) => {
            await tx('INSERT INTO effects (key) VALUES ($1)', [scope + key]);
            captured = await idempotency.record(tx, answer);
            if (fails) throw new Error('rolled back');
          });
          return captured as Captured;
        });
        return outcome.finally(() => protection.close());
      };
      await assert.rejects(post('k', true), /rolled back/);
      const first = await post('k');
      assert.ok('fresh' in first, 'the failure left no record');
      const again = await post('k');
      assert.deepEqual(again, { recorded: first.answer, replayed: true });
      assert.deepEqual(first.answer, answer);
      const { rows } = await pool.query('SELECT key FROM effects WHERE key LIKE $1', [`${scope}%`]);
      assert.deepEqual(rows, [{ key: `${scope}k` }]);
    });

    test(`two processes at once have one effect and one answer through ${name}`, async () => {
      const { query, transact } = open();
      const scope = crypto.randomUUID();
      // Both are inside their handlers before either writes, so the unique key must decide.
      const inside = new Gate(2);
      const post = () => {
        const protection = new Protection({ scope: () => scope, query });
        const outcome = protection.answer(incoming(scope, 'k'), async (idempotency) => {
          await inside.pass();
          let captured: Captured | undefined;
          await transact(async (tx) => {
            await tx('INSERT INTO effects (key) VALUES ($1)', [scope]);
            captured = await idempotency?.record(tx, answer);
          });
          return captured as Captured;
        });
        return outcome.finally(() => protection.close());
      };
      const outcomes = await Promise.all([post(), post()]);
      const replays = outcomes.filter((outcome) => 'recorded' in outcome && outcome.replayed);
      assert.equal(replays.length, 1);
      const { rows } = await pool.query('SELECT FROM effects WHERE key = $1', [scope]);
      assert.equal(rows.length, 1);
    });

    test(`expired records are purged in chunks through ${name}`, async () => {
      const { query } = open();
      const scope = `a-${crypto.randomUUID()}`;
      const record = { fingerprint: '0f'.repeat(32), answer };
      for (const key of ['1', '2', '3']) await insertRecord(query, scope, key, record, -1);
      assert.equal(await deleteExpiredRecords(query, scope, 2), 2);
      assert.equal(await purgeRecords(query, 2), 1);
    });
  }
});

const answer = {
  status: 201,
  headers: { location: '/ä"\\', 'content-type': 'x/y' },
  body: Buffer.from([0, 1, 39, 92, 255]),
};

function incoming(scope: string, key: string): Incoming {
  const headers = { 'idempotency-key': key };
  return { method: 'POST', path: '/', query: '', headers, body: () => undefined, scope };
}

/** Opens when so many stand at it. */
class Gate {
  private left: number;
  private readonly opened = Promise.withResolvers<void>();

  constructor(size: number) {
    this.left = size;
  }

  async pass(): Promise<void> {
    if (--this.left === 0) this.opened.resolve();
    await this.opened.promise;
  }
}
