import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, makeDataDir } from '@onhand/fixtures';
import type pg from 'pg';
import { startEmbeddedPostgres } from '../runtime/embeddedPostgres.ts';
import { openSession } from '../testing/pipelineRig.ts';
import { startProxy, targetOf, through } from '../testing/proxy.ts';
import { openDatabase } from './database.ts';
import { failureOf, ReadOnlyError } from './failures.ts';
import { migrate } from './migrate.ts';
import { checkWrites } from './refuseReadOnly.ts';

/** A hot standby, of a primary that is gone. */
async function startStandby(t: TestContext): Promise<string> {
  const options = { dataDir: makeDataDir(t), log: () => {}, settings: { fsync: 'off' } };
  const primary = await startEmbeddedPostgres(options);
  await primary.stop();
  writeFileSync(path.join(options.dataDir, 'postgres', 'data', 'standby.signal'), '');
  const standby = await startEmbeddedPostgres(options);
  t.after(standby.stop);
  return standby.url;
}

function openPools(t: TestContext, url: string) {
  const { writes, reads, close } = openDatabase({ url, connections: 2 });
  t.after(close);
  return [writes, reads] as const;
}

test('a standby is refused for writes, reads and migrations until it is promoted', async (t) => {
  const url = await startStandby(t);
  const pools = openPools(t, url);
  const isRefused = (error: unknown) => {
    assert.equal((error as Error).message, 'the database takes no writes: it is a standby');
    assert.equal(failureOf(error), 'unreachable');
    return true;
  };
  for (const pool of pools) {
    await assert.rejects(pool.query('SELECT'), isRefused);
    assert.equal(pool.totalCount, 0);
  }
  await assert.rejects(migrate(url), isRefused);
  await (await openSession(t, url)).query('SELECT pg_promote()');
  assert.notDeepEqual(await migrate(url), []);
  for (const pool of pools) await pool.query('CREATE TEMPORARY TABLE things ()');
});

test('a connection that cannot write any more is found when it is asked, and closed', async (t) => {
  const { url } = await createTestDatabase(t);
  for (const pool of openPools(t, url)) {
    await pool.query('SET default_transaction_read_only = on');
    await assert.rejects(checkWrites(pool), ReadOnlyError);
    assert.equal(pool.totalCount, 0);
    await checkWrites(pool);
  }
});

test('connections that are all at work are not waited for, and none more is made', async (t) => {
  const { writes, close } = openDatabase({
    url: (await createTestDatabase(t)).url,
    connections: 6,
  });
  t.after(close);
  const clients: pg.PoolClient[] = [];
  const made: number[] = [];
  for (let busy = 1; busy <= writes.options.max; busy += 1) {
    clients.push(await writes.connect());
    await checkWrites(writes);
    made.push(writes.totalCount);
  }
  for (const client of clients) client.release();
  assert.deepEqual(made, [1, 2, 3]);
});

test('a session that is refused is left, whether its server says goodbye or not', async (t) => {
  const { url, name } = await createTestDatabase(t);
  const terminate = 'X'.charCodeAt(0);
  const silent = await startProxy(t, targetOf(url), {
    onRequest: (chunk) => chunk[0] !== terminate,
    halfOpen: true,
  });
  const session = await openSession(t, url);
  await session.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  const [writes] = openPools(t, through(silent, url));
  await assert.rejects(writes.query('SELECT'), ReadOnlyError);
  assert.equal(writes.totalCount, 0);
});
