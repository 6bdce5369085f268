import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { createTestDatabase, environment, makeDataDir, startService } from '@onhand/fixtures';

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

const TOOL = path.join(import.meta.dirname, 'apiKeys.ts');

function apiKeys(line: string, env: Record<string, string> = {}): Promise<Ended> {
  const args = line.split(' ').filter((word) => word !== '');
  const child = spawn(process.execPath, [TOOL, ...args], {
    env: { ...environment, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended: Ended = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    ended.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    ended.stderr += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ ...ended, code })));
}

function get(url: string, key: string): Promise<Response> {
  return fetch(`${url}/v1/products`, { headers: { authorization: `Bearer ${key}` } });
}

function put(url: string, key: string): Promise<Response> {
  const headers = { authorization: `Bearer ${key}` };
  return fetch(`${url}/v1/products/SKU-1`, { method: 'PUT', headers });
}

describe('npm run api-keys', () => {
  test('makes a key with which a running service answers, for its tenant and role', async (t) => {
    const database = await createTestDatabase(t);
    const env = { DATABASE_URL: database.url };
    const writer = await apiKeys('create --tenant acme --role writer --name ci', env);
    const reader = await apiKeys('create --tenant acme --role reader --name shelf', env);
    const service = await startService(t, { env });

    assert.equal(writer.code, 0, writer.stderr);
    assert.match(writer.stdout, /^onhand_[\w-]{32}\n$/);
    assert.equal((await put(service.url, writer.stdout.trim())).status, 201);
    assert.equal((await put(service.url, reader.stdout.trim())).status, 403);
    const seen = (await (await get(service.url, reader.stdout.trim())).json()) as {
      items: { product: string }[];
    };
    assert.deepEqual(
      seen.items.map(({ product }) => product),
      ['SKU-1'],
    );
  });

  test('lists names and roles, never a key, and revokes by name', async (t) => {
    const database = await createTestDatabase(t);
    const env = { DATABASE_URL: database.url };
    const { stdout: key } = await apiKeys('create --tenant acme --role admin --name ci', env);
    const revoked = await apiKeys('revoke --tenant acme --name ci', env);
    const list = await apiKeys('list --tenant acme', env);
    const service = await startService(t, { env });

    assert.equal(revoked.code, 0, revoked.stderr);
    const time = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`;
    assert.match(list.stdout, new RegExp(`^name .*revoked\nci +admin +${time} +${time}\n$`));
    assert.ok(!list.stdout.includes(key.trim()));
    assert.equal((await get(service.url, key.trim())).status, 401);
    const again = await apiKeys('revoke --tenant acme --name ci', env);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^api-keys: tenant acme has no valid key ci\n$/);
  });

  test('leaves a valid key of the same name as it is, and takes the name of a revoked one', async (t) => {
    const database = await createTestDatabase(t);
    const env = { DATABASE_URL: database.url };
    await apiKeys('create --tenant acme --role reader --name ci', env);

    const second = await apiKeys('create --tenant acme --role admin --name ci', env);
    assert.deepEqual([second.code, second.stdout], [1, '']);
    assert.match(second.stderr, /tenant acme has a key ci/);
    assert.match((await apiKeys('list --tenant acme', env)).stdout, /^ci +reader .* -$/m);

    await apiKeys('revoke --tenant acme --name ci', env);
    assert.equal((await apiKeys('create --tenant acme --role admin --name ci', env)).code, 0);
    const { stdout } = await apiKeys('list --tenant acme', env);
    assert.match(stdout, /^name .*\nci +reader .*Z\nci +admin .* -\n$/);
  });

  test('gives no key the name of the one that the service is started with', async (t) => {
    const { url: DATABASE_URL } = await createTestDatabase(t);
    const line = 'create --tenant demo --role reader --name admin';
    const { code, stdout, stderr } = await apiKeys(line, { DATABASE_URL });
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^api-keys: admin of demo is the key that the service is started with: .*\n$/,
    );
  });

  test('finds the embedded database while the service runs, and starts it while not', async (t) => {
    const ONHAND_DATA_DIR = makeDataDir(t);
    const service = await startService(t, { env: { ONHAND_DATA_DIR } });
    // Of another database: here it would keep the schema from being made.
    const env = { ONHAND_DATA_DIR, PGOPTIONS: '-c default_transaction_read_only=on' };
    const running = await apiKeys('create --tenant acme --role reader --name one', env);
    assert.equal(running.code, 0, running.stderr);
    assert.equal((await get(service.url, running.stdout.trim())).status, 200);
    await service.stop();

    const list = await apiKeys('list --tenant acme', env);
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, /^one +reader/m);
    assert.ok(
      !readdirSync(path.join(ONHAND_DATA_DIR, 'postgres')).includes('service.pid'),
      'the directory is given up',
    );
  });

  test('makes no database where there is none', async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'onhand-test-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const list = await apiKeys('list --tenant acme', { ONHAND_DATA_DIR: folder });
    assert.equal(list.code, 1);
    assert.match(list.stderr, /^api-keys: there is no database in .*: start the service once/);
    assert.deepEqual(readdirSync(folder), []);
  });

  const wrong: [line: string, says: RegExp][] = [
    ['', /name one of create, list, revoke/],
    ['toString', /name one of create, list, revoke/],
    ['create --tenant acme --name ci', /create needs --role: reader, writer or admin/],
    ['create --tenant acme --name ci --role root', /--role must be reader, writer or admin/],
    ['create --tenant Acme --name ci --role admin', /--tenant must be 1 to 63/],
    ['create --tenant acme --name a/b --role admin', /--name must be 1 to 64/],
    ['list --tenant acme --name ci', /list takes no --name/],
    ['revoke --tenant acme', /revoke needs --name/],
    ['list --tenannt acme', /tenannt/],
    ['list --tenant acme --tenant bcme', /--tenant is given more than once/],
  ];
  for (const [line, says] of wrong) {
    test(`explains what is wrong with "${line}"`, async () => {
      const { code, stdout, stderr } = await apiKeys(line);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, says);
      assert.match(stderr, /npm run api-keys -- create/);
    });
  }

  for (const { name, url } of [
    { name: 'the database is out of reach', url: 'postgres://onhand@127.0.0.1:1/onhand' },
    { name: 'DATABASE_URL is no URL', url: 'postgres://onhand@127.0.0.1:99999/onhand' },
    {
      name: 'DATABASE_URL names a certificate that is not there',
      url: 'postgres://onhand@127.0.0.1:1/onhand?sslmode=verify-full&sslrootcert=/nowhere',
    },
  ]) {
    test(`says in one line when ${name}`, async () => {
      const { code, stderr } = await apiKeys('list --tenant acme', { DATABASE_URL: url });
      assert.equal(code, 1);
      assert.match(stderr, /^api-keys: the database of DATABASE_URL cannot be used: .+\n$/);
    });
  }
});
