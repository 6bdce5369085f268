import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RedisServer, startRedis } from './fixtures/redis.ts';
import { pack, stage } from './pack.ts';

const load = createRequire(import.meta.url);
const { devDependencies } = load('./package.json');
const folder = mkdtempSync(join(tmpdir(), 'onhand-pack-'));
const project = join(folder, 'project');
/** Node 22 as a package; 24 is what the tests run on. */
const node22 = `node-${process.platform}-${process.arch}`;
let redis: RedisServer;

const program = `
import assert from 'node:assert/strict';
import { createClient } from 'redis';
import { createLocks, LockLost, LockTimeout, memoryDriver, redisDriver } from '@onhand/lock';

const client = createClient({ url: process.argv[2] });
await client.connect();
for (const driver of [redisDriver(client), memoryDriver()]) {
  const locks = createLocks({ driver });
  const lease = await locks.acquire(['b', 'a']);
  assert.deepEqual(lease.keys, ['a', 'b']);
  const waiting = locks.acquire(['a'], { waitMs: 5000 });
  await assert.rejects(locks.acquire(['b'], { waitMs: 0 }), LockTimeout);
  await lease.release();
  await (await waiting).release();
  assert.equal(await locks.using(['a'], {}, ({ fencingToken }) => typeof fencingToken), 'bigint');
  assert.throws(() => lease.assertHeld(), LockLost);
  await locks.close();
}
client.destroy();
console.log(process.version);
`;

const typed = `
import { createLocks, type Lease, type Locks, redisDriver } from '@onhand/lock';
import { createClient } from 'redis';
export const locks: Locks = createLocks({ driver: redisDriver(createClient()) });
export const lease: Promise<Lease> = locks.acquire(['k'], { leaseMs: 1_000 });
// @ts-expect-error a lease is a number of milliseconds
locks.acquire(['k'], { leaseMs: '1s' });
`;

before(async () => {
  redis = await startRedis();
  stage(join(folder, 'staged'));
  const tarball = pack(join(folder, 'staged'), folder);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private": true, "type": "module"}');
  writeFileSync(join(project, 'program.js'), program);
  writeFileSync(join(project, 'typed.ts'), typed);
  const packages = [tarball, `redis@${devDependencies.redis}`, `${node22}@22`];
  const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline'];
  execFileSync('npm', ['install', ...flags, ...packages], { cwd: project, stdio: 'ignore' });
});

after(async () => {
  rmSync(folder, { recursive: true, force: true });
  await redis.stop();
});

const runtimes = {
  22: join(project, 'node_modules', node22, 'bin', 'node'),
  24: process.execPath,
};

for (const [major, binary] of Object.entries(runtimes)) {
  test(`the packed tarball works from ESM in an empty project on Node ${major}`, () => {
    const output = execFileSync(binary, ['program.js', redis.url], {
      cwd: project,
      encoding: 'utf8',
    });
    assert.match(output, new RegExp(`^v${major}\\.`));
  });
}

test('the packed types compile in an empty project under strict', () => {
  const compiler = join(dirname(load.resolve('typescript/package.json')), 'bin', 'tsc');
  const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024'];
  const types = ['--typeRoots', join(dirname(load.resolve('@types/node/package.json')), '..')];
  const libraries = ['--lib', 'es2024,esnext.disposable', '--types', 'node', '--skipLibCheck'];
  execFileSync(process.execPath, [compiler, ...flags, ...types, ...libraries, 'typed.ts'], {
    cwd: project,
    encoding: 'utf8',
  });
});
