import assert from 'node:assert/strict';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createClient } from '@redis/client';
import { waitFor } from '../../fixtures/condition.ts';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript } from '../../fixtures/script.ts';
import { findRedisServer, startChildRedis } from './childRedis.ts';
import { processIdentity } from './processes.ts';

const SERVICE = `
  import { startChildRedis } from '/inventory/runtime/childRedis.ts';
  console.log((await startChildRedis({ log: () => {}, warn: () => {} })).url);
  setInterval(() => {}, 1_000);
`;

test('a child Redis answers on a private socket, saves nothing and is gone after stop', async () => {
  const redis = await startChildRedis({ log: () => {}, warn: () => {} });
  assert.ok(redis, 'redis-server or valkey-server on PATH');
  const socketDir = path.dirname(new URL(redis.url).pathname);
  assert.equal(statSync(socketDir).mode & 0o777, 0o700);
  const settings = await ask(redis.url, (client) =>
    client.configGet(['save', 'port', 'appendonly']),
  );
  assert.deepEqual({ ...settings }, { save: '', port: '0', appendonly: 'no' });
  const memory = await ask(redis.url, (client) => client.configGet('maxmemory*'));
  assert.equal(memory.maxmemory, String(256 * 1024 * 1024));
  assert.equal(memory['maxmemory-policy'], 'volatile-ttl');
  await redis.stop();
  await redis.stop();
  assert.equal(existsSync(socketDir), false);
});

test('without Redis or Valkey on PATH there is none', async (t) => {
  const searchPath = makeTestFolder(t);
  assert.equal(await startChildRedis({ log: () => {}, warn: () => {}, searchPath }), undefined);
});

test('Valkey is found where there is no Redis, and only what can be run counts', (t) => {
  const folder = makeTestFolder(t);
  const [redis, valkey] = ['redis-server', 'valkey-server'].map((name) => path.join(folder, name));
  writeFileSync(redis ?? '', '', { mode: 0o644 });
  writeFileSync(valkey ?? '', '', { mode: 0o755 });
  assert.equal(findRedisServer(folder), valkey);
  chmodSync(redis ?? '', 0o755);
  assert.equal(findRedisServer(`relative:${folder}`), redis);
});

test('a Redis that cannot start is named with how it ended', async (t) => {
  const folder = makeTestFolder(t);
  writeFileSync(path.join(folder, 'redis-server'), '#!/bin/sh\nexit 3\n', { mode: 0o755 });
  await assert.rejects(startChildRedis({ log: () => {}, warn: () => {}, searchPath: folder }), {
    name: 'StartError',
    message: `${folder}/redis-server did not start: it ended with code 3`,
  });
});

test('kill -9 of the service ends its Redis', async (t) => {
  const service = runScript(t, SERVICE);
  const url = await service.nextLine();
  assert.ok(url, service.errors());
  const pid = await pidOf(url);
  assert.ok(processIdentity(pid));
  service.signal('SIGKILL');
  await waitFor('Redis ends', () => processIdentity(pid) === undefined);
  await waitFor('its folder goes', () => !existsSync(path.dirname(new URL(url).pathname)));
});

test('a Redis that ends by itself is started again at its address, and that is told', async (t) => {
  const warnings: string[] = [];
  const redis = await startChildRedis({ log: () => {}, warn: (line) => warnings.push(line) });
  assert.ok(redis);
  t.after(() => redis.stop());
  for (let ends = 1; ends <= 2; ends++) {
    const pid = await pidOf(redis.url);
    process.kill(pid, 'SIGKILL');
    await waitFor('another one answers', async () => {
      const answering = await pidOf(redis.url).catch(() => pid);
      return answering !== pid;
    });
    assert.equal(warnings.length, ends);
    assert.match(warnings.at(-1) ?? '', /^Redis ended by itself \(code 137\): starting it again$/);
  }
  await redis.stop();
  await assert.rejects(pidOf(redis.url));
});

test('what keeps a Redis from being started again is told, and a stop does not wait for it', async (t) => {
  const folder = makeTestFolder(t);
  const broken = path.join(folder, 'broken');
  const script = `#!/bin/sh\n[ -e ${broken} ] && exit 3\nexec ${findRedisServer()} "$@"\n`;
  writeFileSync(path.join(folder, 'redis-server'), script, { mode: 0o755 });
  const warnings: string[] = [];
  const warn = (line: string) => warnings.push(line);
  const redis = await startChildRedis({ log: () => {}, warn, searchPath: folder });
  assert.ok(redis);
  t.after(() => redis.stop());
  writeFileSync(broken, '');
  process.kill(await pidOf(redis.url), 'SIGKILL');
  await waitFor('it was tried', () => warnings.length === 2);
  assert.match(warnings[1] ?? '', /^Redis cannot be started again: .* it ended with code 3$/);
  await redis.stop();
});

async function pidOf(url: string): Promise<number> {
  const info = await ask(url, (client) => client.info('server'));
  return Number(/process_id:(\d+)/.exec(info)?.[1]);
}

type Client = ReturnType<typeof createClient>;

async function ask<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = createClient({ url, socket: { reconnectStrategy: false } });
  client.on('error', () => {});
  await client.connect();
  return use(client as Client).finally(() => client.destroy());
}
