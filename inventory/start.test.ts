import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  createTestDatabase,
  environment,
  makeDataDir,
  startService,
  startTestRedis,
  waitFor,
} from '@onhand/fixtures';
import { createClient } from '@redis/client';
import { migrate } from './postgres/migrate.ts';
import { openSession } from './testing/pipelineRig.ts';

const main = path.join(import.meta.dirname, 'main.ts');

async function claimsOf(t: TestContext, REDIS_URL: string): Promise<string | undefined> {
  const { url } = await createTestDatabase(t);
  const service = await startService(t, { env: { DATABASE_URL: url, REDIS_URL } });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
  return /^ {2}claims {4}(.*)$/m.exec(service.output())?.[1];
}

test('a start says that claims are in the Redis that it has reached', async (t) => {
  const redis = await startTestRedis(t);
  assert.equal(await claimsOf(t, redis.url), 'in Redis, at REDIS_URL');
});

test('a start says why claims are not in a Redis that it has not reached', async (t) => {
  const expected = 'in memory until Redis, at REDIS_URL, answers (connection refused)';
  assert.equal(await claimsOf(t, 'redis://127.0.0.1:1'), expected);
});

test('a start says that Redis wants a password', async (t) => {
  const redis = await startTestRedis(t);
  const admin = createClient({ url: redis.url });
  await admin.connect();
  await admin.configSet('requirepass', 'a-password');
  admin.destroy();
  const claims = await claimsOf(t, redis.url);
  assert.match(claims ?? '', /^in memory until Redis, at REDIS_URL, answers \(NOAUTH /);
});

test('variables of libpq do not reach the sessions on the embedded database', async (t) => {
  const env = {
    ONHAND_DATA_DIR: makeDataDir(t),
    PGOPTIONS: '-c default_transaction_read_only=on',
    PGSSLNEGOTIATION: 'direct',
  };
  const service = await startService(t, { env });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
});

test('a start that makes a second ledger in a database says where the first is, once', async (t) => {
  const { url } = await createTestDatabase(t);
  const session = await openSession(t, url);
  await session.query('CREATE SCHEMA elsewhere');
  const other = new URL(url);
  other.searchParams.set('options', '-csearch_path=elsewhere');
  assert.notDeepEqual(await migrate(other.href), []);
  const started = async () => {
    const service = await startService(t, { env: { DATABASE_URL: url } });
    return service.output();
  };
  const line = /"level":40.*the schema elsewhere of this database has a ledger.*made in public/;
  assert.match(await started(), line);
  assert.doesNotMatch(await started(), /elsewhere/);
});

for (const { name, stdout } of [
  { name: 'is on a full disk', stdout: () => openSync('/dev/full', 'w') },
  { name: 'nobody reads', stdout: () => 'pipe' as const },
]) {
  test(`a start whose standard output ${name} goes on`, async (t) => {
    const { url: DATABASE_URL } = await createTestDatabase(t);
    const out = stdout();
    const child = spawn(process.execPath, [main], {
      env: { ...environment, PORT: '0', DATABASE_URL, ONHAND_API_KEY: 'a-key-of-this-test' },
      stdio: ['ignore', out, 'pipe'],
    });
    t.after(() => void child.kill('SIGKILL'));
    if (out !== 'pipe') closeSync(out);
    child.stdout?.destroy();
    let log = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      log += chunk;
    });
    const url = () => /Server listening at (http:[^"]+)/.exec(log)?.[1];
    await waitFor('it listens', () => url() !== undefined, 30_000);
    assert.equal((await fetch(`${url()}/readyz`)).status, 200, log);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null], log);
  });
}
