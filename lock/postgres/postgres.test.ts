import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { createTestDatabase } from '../../fixtures/database.ts';
import { conformance } from '../fixtures/conformance.ts';
import { until } from '../fixtures/topology.ts';
import {
  checkFence,
  createLocks,
  fenceTable,
  installPostgresLocks,
  LockLost,
  LockUnavailable,
  memoryDriver,
  postgresDriver,
} from '../index.ts';

// A suite, so that its database goes before the server of the run does.
describe('locks in PostgreSQL', () => {
  let pool: pg.Pool;
  let dropDatabase: () => void | Promise<void>;

  before(async () => {
    const { url } = await createTestDatabase({
      after(release) {
        dropDatabase = release;
      },
    });
    // Every statement goes to any of four sessions, as through a pooler in transaction mode.
    pool = new pg.Pool({ connectionString: url, max: 4 });
    // end() does not wait for its connections, so the database may go before they do.
    pool.on('error', () => {});
    await installPostgresLocks(pool);
    await installPostgresLocks(pool);
    await pool.query(fenceTable);
  });

  after(async () => {
    await pool.end();
    await dropDatabase();
  });

  conformance({ name: 'postgres', driver: () => postgresDriver(pool) });

  test('a waiter that died holds up the queue for about a second', async () => {
    const dead = createLocks({ driver: postgresDriver(pool), prefix: 'dead' });
    const live = createLocks({ driver: postgresDriver(pool), prefix: 'dead' });
    const held = await live.acquire(['k']);
    await pool.query('SELECT onhand_lock.acquire($1, $2, false, 60000, true, 1000)', [
      ['dead:k'],
      'a process that was killed',
    ]);
    const waiting = live.acquire(['k'], { waitMs: 20_000 });
    await held.release();
    await (await waiting).release();
    await dead.close();
  });

  test('installing waits for another that is under way', async (t) => {
    const database = await createTestDatabase(t);
    const [one, two] = [new pg.Client(database.url), new pg.Client(database.url)];
    await Promise.all([one.connect(), two.connect()]);
    // Where the test fails they are still open when the database is dropped by force.
    for (const client of [one, two]) client.on('error', () => {});
    await one.query('BEGIN');
    await installPostgresLocks(one);
    const second = installPostgresLocks(two);
    await until(async () => {
      const waiting = await one.query(
        `SELECT FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return waiting.rows.length === 1;
    });
    await one.query('COMMIT');
    await second;
    await Promise.all([one.end(), two.end()]);
  });

  test('a database out of reach gives LockUnavailable', async () => {
    const lone = new pg.Pool({ host: '127.0.0.1', port: 1 });
    const locks = createLocks({ driver: postgresDriver(lone) });
    await assert.rejects(locks.acquire(['k']), LockUnavailable);
    await lone.end();
  });

  test('checkFence lets the later holder write and refuses the earlier', async () => {
    const locks = createLocks({ driver: memoryDriver() });
    const stale = await locks.acquire(['x', 'y']);
    await locks.forceRelease('x', { reason: 'test' });
    await locks.forceRelease('y', { reason: 'test' });
    const later = await locks.acquire(['x', 'y']);
    const [one, two] = [await pool.connect(), await pool.connect()];
    try {
      await one.query('BEGIN');
      await checkFence(one, later);
      await checkFence(one, later);
      await two.query('BEGIN');
      // It waits for the row of the later holder, which has not committed yet.
      const refused = assert.rejects(checkFence(two, stale), LockLost);
      await one.query('COMMIT');
      await refused;
      await two.query('ROLLBACK');
    } finally {
      one.release();
      two.release();
    }
    await assert.rejects(checkFence(pool, stale), LockLost);
  });
});
