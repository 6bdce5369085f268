import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { createTestDatabase } from '../../fixtures/database.ts';
import { conformance } from '../fixtures/conformance.ts';
import { type Pooler, pgbouncerCommand, startPgbouncer } from '../fixtures/pgbouncer.ts';
import { createLocks, installPostgresLocks, LockTimeout, postgresDriver } from '../index.ts';

const command = pgbouncerCommand ?? '';
const skip = command === '' && 'needs pgbouncer: install the package of this name';
/** Far fewer than the clients below, each of which a session pooler would give one for good. */
const sessions = 2;

describe('locks in PostgreSQL through pgbouncer in transaction mode', { skip }, () => {
  let pool: pg.Pool;
  let pooler: Pooler;
  let dropDatabase: () => void | Promise<void>;

  before(async () => {
    const { url } = await createTestDatabase({
      after(release) {
        dropDatabase = release;
      },
    });
    pooler = await startPgbouncer(command, url, { sessions });
    pool = new pg.Pool({ connectionString: pooler.url, max: 8 });
    await installPostgresLocks(pool);
  });

  after(async () => {
    await pool.end();
    await pooler.stop();
    await dropDatabase();
  });

  test('eight clients share two sessions', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => pool.connect()));
    const pids = await Promise.all(
      clients.map(async (client) => {
        const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
        return rows[0].pid;
      }),
    );
    for (const client of clients) client.release();
    assert.ok(new Set(pids).size <= sessions, `${new Set(pids).size} sessions`);
  });

  test('nothing of a lock stays in a session', async () => {
    const locks = createLocks({ driver: postgresDriver(pool), prefix: 'session' });
    const lease = await locks.acquire(['k']);
    await assert.rejects(locks.acquire(['k'], { waitMs: 0 }), LockTimeout);
    const { rows } = await pool.query(
      `SELECT count(*)::int AS count FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    assert.equal(rows[0].count, 0);
    await lease.release();
    await locks.close();
  });

  conformance({ name: 'pgbouncer', driver: () => postgresDriver(pool) });
});
