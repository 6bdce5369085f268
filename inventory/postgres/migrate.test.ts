import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import {
  type AddressInfo,
  connect,
  createServer,
  type NetConnectOpts,
  type Socket,
} from 'node:net';
import path from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createTestDatabase, environment, makeTestFolder, waitFor } from '@onhand/fixtures';
import { Link } from '../../faults/network/link.ts';
import { openPool, openSession } from '../testing/pipelineRig.ts';
import { startProxy, type TcpProxy, targetOf, through } from '../testing/proxy.ts';
import { isMigrated, MigrationError, migrate } from './migrate.ts';

/** An empty database, and sessions on it. */
async function database(t: TestContext) {
  const { url } = await createTestDatabase(t);
  return { url, pool: openPool(t, url) };
}

test('an empty database is brought to this code once, and is current then', async (t) => {
  const { url, pool } = await database(t);
  const applied = await migrate(url);
  assert.equal(applied[0], '000001_initial.sql');
  assert.equal(await isMigrated(pool), true);
  assert.deepEqual(await migrate(url), []);
  const { rows } = await pool.query('SELECT name FROM schema_migrations ORDER BY version');
  assert.deepEqual(
    rows.map(({ name }) => name),
    applied,
  );
});

test('instances that start together migrate once', async (t) => {
  const { url } = await database(t);
  const applied = await Promise.all([migrate(url), migrate(url), migrate(url), migrate(url)]);
  assert.equal(applied.filter((names) => names.length > 0).length, 1);
});

test('a schema that is newer than the code is refused in one line', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  await pool.query(
    `INSERT INTO schema_migrations (version, name, checksum)
     VALUES (999999, '999999_future.sql', 'x')`,
  );
  await assert.rejects(migrate(url), (error: Error) => {
    assert.ok(error instanceof MigrationError);
    assert.match(error.message, /^the database is newer than this release: .*999999_future\.sql/);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
  assert.equal(await isMigrated(pool), false);
});

test('a migration that was changed after it was applied is refused', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  await pool.query(`UPDATE schema_migrations SET checksum = repeat('0', 64) WHERE version = 1`);
  await assert.rejects(migrate(url), {
    name: 'MigrationError',
    message: /^migration 000001_initial\.sql was changed after it was applied/,
  });
});

test('a migration that fails leaves nothing of itself, and succeeds when its cause is gone', async (t) => {
  const { url, pool } = await database(t);
  await pool.query('CREATE TABLE lock_releases (a integer)');
  await assert.rejects(migrate(url), {
    name: 'MigrationError',
    message: /^migration 000001_initial\.sql failed: .*lock_releases.* already exists/,
  });
  const { rows } = await pool.query(`SELECT to_regclass('levels') AS levels`);
  assert.deepEqual(rows, [{ levels: null }]);
  await pool.query('DROP TABLE lock_releases');
  assert.equal((await migrate(url))[0], '000001_initial.sql');
});

test('the tenant leads every primary key and index, but for the look-up of an API key', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  const { rows } = await pool.query<{ index: string }>(
    `SELECT c.relname AS index FROM pg_index i
     JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE a.attname NOT IN ('tenant_id', 'scope') ORDER BY 1`,
  );
  assert.deepEqual(
    rows.map(({ index }) => index),
    ['api_keys_secret_sha256_key', 'schema_migrations_pkey'],
  );
});

test('the migrations are read once in a process, and again after a failure', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  // A checkout of its own, whose files can go.
  const root = path.resolve(import.meta.dirname, '..', '..');
  const checkout = makeTestFolder(t);
  mkdirSync(path.join(checkout, 'inventory/postgres'), { recursive: true });
  for (const file of ['package.json', 'inventory/package.json', 'inventory/migrations']) {
    cpSync(path.join(root, file), path.join(checkout, file), { recursive: true });
  }
  for (const name of ['migrate.ts', 'failures.ts', 'confirmed.ts', 'refuseReadOnly.ts']) {
    const file = path.join('inventory/postgres', name);
    cpSync(path.join(root, file), path.join(checkout, file));
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
  const copy = pathToFileURL(path.join(checkout, 'inventory/postgres/migrate.ts'));
  const code = (await import(copy.href)) as typeof import('./migrate.ts');
  const files = path.join(checkout, 'inventory/migrations');
  renameSync(files, `${files}-away`);
  await assert.rejects(code.isMigrated(pool), { code: 'ENOENT' });
  renameSync(`${files}-away`, files);
  assert.equal(await code.isMigrated(pool), true);
  renameSync(files, `${files}-away`);
  assert.equal(await code.isMigrated(pool), true);
  assert.deepEqual(await code.migrate(url), []);
});

/**
 * A link to the database that goes silent when a text passes, in either direction: nothing arrives
 * any more, not even that a side has ended.
 */
async function linkSilentAt(t: TestContext, url: string, text: string) {
  let isSilent = false;
  const listen = (chunk: Buffer) => {
    if (chunk.includes(text)) {
      isSilent = true;
      link.shape({ kind: 'black-hole' });
    }
    return !isSilent;
  };
  const proxy = await startProxy(t, targetOf(url), { onRequest: listen, onReply: listen });
  const link = await Link.listen('database', { port: proxy.port });
  t.after(() => link.close());
  return {
    url: through(link as Pick<TcpProxy, 'port'> as TcpProxy, url),
    wasSilent: () => isSilent,
    heal: () => link.heal(),
  };
}

test('a link that breaks refuses the migration and does not end the process', async (t) => {
  const { url } = await database(t);
  const proxy = await startProxy(t, targetOf(url), {
    onRequest: (chunk, link) => {
      if (chunk.includes('CREATE TABLE IF NOT EXISTS')) link.cut();
      return true;
    },
  });
  await assert.rejects(migrate(through(proxy, url)), /^Error: Connection terminated unexpectedly/);
});

/** Holds a start up by what one session has, for twice as long as an answer may take. */
async function assertWaits(t: TestContext, hold: string, release: string, lockType: string) {
  const { url, pool } = await database(t);
  const holder = await openSession(t, url);
  await holder.query(hold);
  const applied = migrate(url, { answerWaitMs: 300 });
  applied.catch(() => {});
  await waitFor('it waits', async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_locks WHERE locktype = $1 AND NOT granted
       AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
      [lockType],
    );
    return rowCount === 1;
  });
  // The 300 ms of an answer must pass, twice, without its giving up.
  await pool.query('SELECT pg_sleep(0.6)');
  await holder.query(release);
  assert.equal((await applied)[0], '000001_initial.sql');
}

test('a queue for the turn is waited for longer than an answer', (t) =>
  assertWaits(
    t,
    'SELECT pg_advisory_lock(7316001)',
    'SELECT pg_advisory_unlock(7316001)',
    'advisory',
  ));

test('a migration is waited for longer than an answer', (t) =>
  assertWaits(t, 'BEGIN; CREATE TABLE tenants (a integer)', 'ROLLBACK', 'transactionid'));

const statements = [
  'SET lock_timeout',
  'pg_try_advisory_lock',
  'CREATE TABLE IF NOT EXISTS',
  'SELECT version',
  'BEGIN',
  'INSERT INTO schema_migrations',
  'COMMIT',
];

// The first two wait for long; the others go one by one beside them.
suite('a link that goes silent', { concurrency: 3 }, () => {
  test('a session that a silent link left at the server gives the turn up', async (t) => {
    const { url } = await database(t);
    // In the answer to the request for the lock: a column, of no table.
    const link = await linkSilentAt(t, url, 'taken\0\0\0\0\0');
    await assert.rejects(migrate(link.url, { answerWaitMs: 500 }), { code: 'ETIMEDOUT' });
    assert.equal((await migrate(url))[0], '000001_initial.sql');
  });

  test('a database that goes silent stops the start of the service with one line', async (t) => {
    const { url } = await database(t);
    const link = await linkSilentAt(t, url, 'pg_try_advisory_lock');
    const main = path.resolve(import.meta.dirname, '..', 'main.ts');
    const env = { ...environment, PORT: '0', DATABASE_URL: link.url, LOG_LEVEL: 'warn' };
    const { code, output } = await new Promise<{ code: unknown; output: string }>((resolve) => {
      const child = execFile(process.execPath, [main], { env }, (error, out, err) =>
        resolve({ code: error?.code ?? 0, output: out + err }),
      );
      t.after(() => void child.kill('SIGKILL'));
    });
    assert.equal(
      output,
      'onhand: the database of DATABASE_URL cannot be used: no answer in time\n',
    );
    assert.equal(code, 1);
  });

  for (const statement of statements) {
    test(`a link that goes silent at ${statement} ends the start`, {
      timeout: 20_000,
    }, async (t) => {
      const { url, pool } = await database(t);
      const link = await linkSilentAt(t, url, statement);
      await assert.rejects(migrate(link.url, { answerWaitMs: 500 }), (error: Error) => {
        const isInMigration = error instanceof MigrationError;
        const { code } = (isInMigration ? error.cause : error) as NodeJS.ErrnoException;
        assert.match(error.message, /did not answer in time$/);
        assert.doesNotMatch(error.message, /\n/);
        assert.equal(code, 'ETIMEDOUT');
        return true;
      });
      assert.ok(link.wasSilent());
      link.heal();
      // What it had done is undone, and its turn is over.
      assert.equal((await migrate(url))[0], '000001_initial.sql');
      assert.equal(await isMigrated(pool), true);
    });
  }

  test('a link that loses the end of the session holds nothing up', {
    timeout: 20_000,
  }, async (t) => {
    const { url } = await database(t);
    await migrate(url);
    const sockets: Socket[] = [];
    const link = createServer({ allowHalfOpen: true }, (client) => {
      const upstream = connect(targetOf(url) as NetConnectOpts);
      client.pipe(upstream, { end: false });
      upstream.pipe(client, { end: false });
      sockets.push(client, upstream);
    }).listen(0, '127.0.0.1');
    await once(link, 'listening');
    t.after(() => {
      link.close();
      for (const socket of sockets) socket.destroy();
    });
    const { port } = link.address() as AddressInfo;
    assert.deepEqual(await migrate(through({ port } as TcpProxy, url), { answerWaitMs: 500 }), []);
  });
});
