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
import type pg from 'pg';
import { Link } from '../../faults/network/link.ts';
import { pgbouncerCommand, startPgbouncer } from '../../lock/fixtures/pgbouncer.ts';
import { openPool, openSession } from '../testing/pipelineRig.ts';
import { startProxy, type TcpProxy, targetOf, through } from '../testing/proxy.ts';
import { isMigrated, migrate } from './migrate.ts';
import { MigrationError } from './refuseDatabase.ts';

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

suite('behind pgbouncer', () => {
  const command = pgbouncerCommand ?? '';
  const skip = command === '' && 'needs pgbouncer: install the package of this name';

  test('sessions of each transaction are refused, with nothing made', { skip }, async (t) => {
    const { url, pool } = await database(t);
    for (const sessions of [1, 4]) {
      const pooler = await startPgbouncer(command, url, { sessions });
      t.after(pooler.stop);
      await assert.rejects(migrate(pooler.url), {
        name: 'MigrationError',
        message: /^the pooler before the database .*transaction mode: use its session mode/,
      });
    }
    assert.equal(await isMigrated(pool), false);
  });

  test('sessions of each client are as good as the server’s', { skip }, async (t) => {
    const { url, pool } = await database(t);
    const pooler = await startPgbouncer(command, url, { sessions: 4, mode: 'session' });
    t.after(pooler.stop);
    await migrate(pooler.url);
    assert.equal(await isMigrated(pool), true);
  });
});

test('instances that start together migrate once', async (t) => {
  const { url } = await database(t);
  const applied = await Promise.all([migrate(url), migrate(url), migrate(url), migrate(url)]);
  assert.equal(applied.filter((names) => names.length > 0).length, 1);
});

test('a schema that is newer than the code refuses a start in one line, and no running instance', async (t) => {
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
  assert.equal(await isMigrated(pool), true);
  await pool.query('DELETE FROM schema_migrations WHERE version = 1');
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
  assert.equal(await isMigrated(pool), false);
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
  mkdirSync(path.join(checkout, 'inventory'), { recursive: true });
  const copied = ['inventory/package.json', 'inventory/migrations', 'inventory/postgres'];
  for (const file of ['package.json', ...copied]) {
    cpSync(path.join(root, file), path.join(checkout, file), { recursive: true });
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

test('a database that applied the text that deadlocked is current', async (t) => {
  const { url, pool } = await database(t);
  await migrate(url);
  const { rowCount } = await pool.query(
    `UPDATE schema_migrations
     SET checksum = '8a5932d95ccd0dcd993425acf6ca079f80ee7510dccb094a74de552b76837b00'
     WHERE version = 2`,
  );
  assert.equal(rowCount, 1);
  assert.deepEqual(await migrate(url), []);
  assert.equal(await isMigrated(pool), true);
});

/** A database of the release before the second migration. */
async function olderDatabase(t: TestContext) {
  const { url, pool } = await database(t);
  await migrate(url);
  await pool.query(`
    DELETE FROM schema_migrations WHERE version = 2;
    DROP INDEX reservation_lines_open;
    CREATE INDEX reservation_lines_expiring
      ON reservation_lines (tenant_id, warehouse, product, expires_at)
      WHERE expires_at IS NOT NULL AND shipped + released + expired < quantity`);
  const reader = await openSession(t, url);
  await reader.query('BEGIN; SELECT FROM reservation_lines');
  return { url, pool, reader };
}

/** Resolves when one session waits for a lock of this kind. */
function waitsForLock(pool: pg.Pool, lockType: string) {
  return waitFor('it waits', async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_locks WHERE locktype = $1 AND NOT granted
       AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
      [lockType],
    );
    return rowCount === 1;
  });
}

test('commands go on while a reader is in the way of a migration, which waits for it', async (t) => {
  const { url, pool, reader } = await olderDatabase(t);
  const applied = migrate(url, { lockTryMs: 200 });
  applied.catch(() => {});
  for (let attempt = 0; attempt < 2; attempt++) {
    await waitsForLock(pool, 'relation');
    await pool.query('SELECT FROM reservation_lines');
  }
  await reader.query('COMMIT');
  assert.deepEqual(await applied, ['000002_open_reservation_lines.sql']);
});

test('a reader that stays in the way of a migration refuses it in one line', async (t) => {
  const { url, pool } = await olderDatabase(t);
  await assert.rejects(migrate(url, { lockTryMs: 50, lockWaitMs: 100 }), {
    name: 'MigrationError',
    message:
      'migration 000002_open_reservation_lines.sql failed: for 0.1 s other sessions, as of pg_dump, were using the tables that it changes; start again when they are done',
  });
  assert.equal(await isMigrated(pool), false);
});

test('a command that has read when a migration comes writes before it', async (t) => {
  const { url, pool, reader: command } = await olderDatabase(t);
  const applied = migrate(url);
  applied.catch(() => {});
  await waitsForLock(pool, 'relation');
  await command.query('SET LOCAL lock_timeout = 500; UPDATE reservation_lines SET shipped = 0');
  await command.query('COMMIT');
  assert.deepEqual(await applied, ['000002_open_reservation_lines.sql']);
});

/** Holds a start up by what one session has, for twice as long as an answer may take. */
async function assertWaits(
  t: TestContext,
  { url, pool }: { url: string; pool: pg.Pool },
  [hold, release, lockType]: readonly [hold: string, release: string, lockType: string],
) {
  const holder = await openSession(t, url);
  await holder.query(hold);
  const applied = migrate(url, { answerWaitMs: 300 });
  applied.catch(() => {});
  await waitsForLock(pool, lockType);
  // The 300 ms of an answer must pass, twice, without its giving up.
  await pool.query('SELECT pg_sleep(0.6)');
  await holder.query(release);
  assert.equal((await applied)[0], '000001_initial.sql');
}

const turn = [
  'SELECT pg_advisory_lock(7316001)',
  'SELECT pg_advisory_unlock(7316001)',
  'advisory',
] as const;
test('a queue for the turn is waited for longer than an answer', async (t) => {
  await assertWaits(t, await database(t), turn);
});

test('a migration is waited for longer than an answer', async (t) => {
  const table = ['BEGIN; CREATE TABLE tenants (a integer)', 'ROLLBACK', 'transactionid'] as const;
  await assertWaits(t, await database(t), table);
});

test('a transaction_timeout of the database does not bound a start', async (t) => {
  const own = await database(t);
  const { rows } = await own.pool.query('SHOW server_version_num');
  if (Number(rows[0].server_version_num) < 170_000) return t.skip('PostgreSQL knows it from 17 on');
  const { pathname } = new URL(own.url);
  await own.pool.query(`ALTER DATABASE ${pathname.slice(1)} SET transaction_timeout = '300ms'`);
  await assertWaits(t, own, turn);
});

test('a start that is killed leaves nothing running at the server', async (t) => {
  const { url, pool } = await database(t);
  const [hold] = turn;
  await (await openSession(t, url)).query(hold);
  const proxy = await startProxy(t, targetOf(url));
  const killed = assert.rejects(migrate(through(proxy, url)));
  await waitsForLock(pool, 'advisory');
  proxy.cutAll();
  await killed;
  await waitFor('its session ends', async () => {
    const { rowCount } = await pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`,
    );
    return rowCount === 0;
  });
});

const statements = [
  'SET lock_timeout',
  'SET client_connection_check_interval',
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
