import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  createTestDatabase,
  environment,
  makeDataDir,
  makeTestFolder,
  startService,
} from '@onhand/fixtures';
import { runningPostgresUrl } from './runtime/runningPostgres.ts';
import { openSession } from './testing/pipelineRig.ts';

const main = path.join(import.meta.dirname, 'main.ts');

/** Starts a service that must refuse to run. @returns its exit code and what it wrote */
async function startInVain(t: TestContext, env: Record<string, string>) {
  const child = spawn(process.execPath, [main], {
    env: { ...environment, PORT: '0', ONHAND_DATA_DIR: makeTestFolder(t), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  t.after(() => void child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk;
    });
  }
  // Its pipes close when the last process that it started is gone, too.
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

async function refuses(t: TestContext, env: Record<string, string>, line: RegExp): Promise<void> {
  const { code, output } = await startInVain(t, env);
  assert.match(output, line);
  assert.equal(output.trim().split('\n').length, 1, `one line, not:\n${output}`);
  assert.equal(code, 1);
}

test('a bad setting stops the start with one line that names it', async (t) => {
  await refuses(t, { ONHAND_LOCK_WAIT_MS: 'soon' }, /^onhand: ONHAND_LOCK_WAIT_MS must .*"soon"/);
});

test('a database that cannot be reached stops the start with one line', async (t) => {
  const port = await freePort();
  const url = `postgres://onhand@127.0.0.1:${port}/onhand`;
  await refuses(
    t,
    { DATABASE_URL: url, LOG_LEVEL: 'warn' },
    /^onhand: the database .*connection refused$/m,
  );
});

test('a temporary folder that cannot be used stops the start of Redis with one line', async (t) => {
  const { url } = await createTestDatabase(t);
  const PATH = makeTestFolder(t);
  symlinkSync('/bin/true', path.join(PATH, 'redis-server'));
  const env = { DATABASE_URL: url, PATH, TMPDIR: path.join(PATH, 'none'), LOG_LEVEL: 'warn' };
  await refuses(
    t,
    env,
    /^onhand: the temporary folder \S+none \(TMPDIR\) cannot be used: there is no such folder$/m,
  );
});

test('a temporary folder that cannot be used stops that of PostgreSQL alike', async (t) => {
  const file = path.join(makeTestFolder(t), 'file');
  writeFileSync(file, '');
  const env = { REDIS_URL: 'redis://127.0.0.1:1', TMPDIR: file, LOG_LEVEL: 'warn' };
  await refuses(
    t,
    env,
    /^onhand: the temporary folder \S+file \(TMPDIR\) cannot be used: a part of the path is not a folder$/m,
  );
});

test('a taken port stops the start with one line', async (t) => {
  const { url } = await createTestDatabase(t);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => void server.close());
  const PORT = String((server.address() as AddressInfo).port);
  const env = { DATABASE_URL: url, PORT, LOG_LEVEL: 'warn' };
  await refuses(t, env, new RegExp(`^onhand: port ${PORT} on 127.0.0.1 is taken`));
});

test('a key that belongs to another name or tenant stops the start with one line', async (t) => {
  const { url } = await createTestDatabase(t);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'warn', ONHAND_API_KEY: 'a-key-of-another' };
  await (await startService(t, { env })).stop();
  const session = await openSession(t, url);
  await session.query("UPDATE api_keys SET name = 'shelf'");
  await refuses(t, env, /^onhand: ONHAND_API_KEY is the key of another name or tenant/);
});

test('a key that was revoked stops the start with one line, and does not come back', async (t) => {
  const { url } = await createTestDatabase(t);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'warn', ONHAND_API_KEY: 'a-key-that-leaked' };
  await (await startService(t, { env })).stop();
  const session = await openSession(t, url);
  await session.query('UPDATE api_keys SET revoked_at = now()');
  await refuses(t, env, /^onhand: ONHAND_API_KEY was revoked: set one of its own\n$/);
  const valid = 'SELECT FROM api_keys WHERE revoked_at IS NULL';
  assert.equal((await session.query(valid)).rowCount, 0);
  const another = { ...env, ONHAND_API_KEY: 'a-key-that-did-not' };
  await (await startService(t, { env: another })).stop();
  await refuses(t, env, /^onhand: ONHAND_API_KEY was revoked: set one of its own\n$/);
  assert.equal((await session.query(valid)).rowCount, 1);
});

test('a data directory that another service uses stops the start with one line', async (t) => {
  const env = { ONHAND_DATA_DIR: makeDataDir(t), LOG_LEVEL: 'warn' };
  const first = await startService(t, { env });
  await refuses(t, env, /^onhand: .*data.* in use/);
  assert.equal((await fetch(`${first.url}/readyz`)).status, 200, 'the first one is unharmed');
});

test('a schema that is newer than the code stops a start with one line, and not who runs', async (t) => {
  const { url } = await createTestDatabase(t);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'warn' };
  const service = await startService(t, { env });
  const session = await openSession(t, url);
  await session.query(`
    INSERT INTO schema_migrations (version, name, checksum)
    VALUES (999999, '999999_of_tomorrow.sql', '')`);
  // Of two releases that run side by side it is the older.
  const ready = await fetch(`${service.url}/readyz`);
  assert.equal(ready.status, 200, await ready.text());
  assert.equal(await service.stop(), 0);
  await refuses(t, env, /^onhand: the database is newer than this release: .*999999_of_tomorrow/);
});

test('a schema that comes before the one of the tables stops the start with one line', async (t) => {
  const { url } = await createTestDatabase(t);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'warn' };
  const service = await startService(t, { env });
  const session = await openSession(t, url);
  // The default search_path is "$user", public.
  await session.query('CREATE SCHEMA AUTHORIZATION current_user');
  const says = /^onhand: the tables are in the schema public, but search_path has .+ before it/;
  await refuses(t, env, says);
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200, 'the running one is unharmed');
});

test('a database that is not in UTF-8 stops the start with one line', async (t) => {
  const { url, name } = await createTestDatabase(t);
  const session = await openSession(t, url);
  const latin = `${name}_latin`;
  await session.query(`CREATE DATABASE ${latin} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
  try {
    const env = { DATABASE_URL: url.replace(name, latin), LOG_LEVEL: 'warn' };
    await refuses(t, env, /^onhand: the database has the encoding LATIN1/);
  } finally {
    await session.query(`DROP DATABASE ${latin}`);
  }
});

test('a database that takes no writes stops the start with one line', async (t) => {
  const { url, name } = await createTestDatabase(t);
  const session = await openSession(t, url);
  await session.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'warn' };
  const line = /^onhand: .* takes no writes: default_transaction_read_only is on$/m;
  await refuses(t, env, line);
});

test('an embedded database that takes no writes is named as such', async (t) => {
  const env = { ONHAND_DATA_DIR: makeDataDir(t), LOG_LEVEL: 'warn' };
  const service = await startService(t, { env });
  const session = await openSession(t, runningPostgresUrl(env.ONHAND_DATA_DIR) ?? '');
  await session.query('ALTER DATABASE onhand SET default_transaction_read_only = on');
  await session.end();
  await service.stop();
  await refuses(t, env, /^onhand: the embedded database in \S+ cannot be used: .* takes no writes/);
});

test('a database that another one took the place of is not ready', async (t) => {
  const { url } = await createTestDatabase(t);
  const service = await startService(t, { env: { DATABASE_URL: url, LOG_LEVEL: 'silent' } });
  const session = await openSession(t, url);
  await session.query('DROP TABLE schema_migrations');
  assert.equal((await fetch(`${service.url}/readyz`)).status, 503);
});

test('what the database refuses after the migrations is one line as well', async (t) => {
  const { url, name } = await createTestDatabase(t);
  const env = { DATABASE_URL: url, LOG_LEVEL: 'error' };
  await (await startService(t, { env })).stop();
  const session = await openSession(t, url);
  await session.query(`CREATE ROLE ${name} LOGIN; GRANT ALL ON SCHEMA public TO ${name};
    GRANT ALL ON schema_migrations TO ${name}`);
  try {
    const DATABASE_URL = url.replace('//onhand', `//${name}`);
    const line = /^onhand: the database cannot be used: permission denied for table/;
    await refuses(t, { ...env, DATABASE_URL }, line);
  } finally {
    await session.query(`DROP OWNED BY ${name}; DROP ROLE ${name}`);
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
