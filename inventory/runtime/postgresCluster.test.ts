import assert from 'node:assert/strict';
import { readdirSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeDataDir } from '../../fixtures/dataDir.ts';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript } from '../../fixtures/script.ts';
import { startEmbeddedPostgres } from './embeddedPostgres.ts';
import { reasonInLog } from './postgresCluster.ts';

const SERVICE = `
  import { startEmbeddedPostgres } from '/inventory/runtime/embeddedPostgres.ts';
  try {
    await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, log: () => {} });
  } catch (error) {
    console.log(error.name + ': ' + error.message);
  }
`;

test('a database of another major version is refused and named', async (t) => {
  const dataDir = makeDataDir(t);
  await startAndStop(dataDir);
  const cluster = realpathSync(path.join(dataDir, 'postgres', 'data'));
  writeFileSync(path.join(cluster, 'PG_VERSION'), '17\n');
  await assert.rejects(startAndStop(dataDir), {
    name: 'StartError',
    message: new RegExp(`^the database in ${cluster} is of PostgreSQL 17, this service brings 18`),
  });
});

test('an initdb that fails gives its reason in one line and leaves no half cluster', async (t) => {
  const dataDir = path.join(makeTestFolder(t), 'data');
  const line = await startLimited(t, dataDir);
  assert.match(line ?? '', /^StartError: initdb failed: .+ \(see .*postgres\.log\)$/);
  assert.deepEqual(readdirSync(path.join(dataDir, 'postgres')), ['service.lock']);
  await startAndStop(dataDir);
});

test('what a killed initdb left does not stay', async (t) => {
  const dataDir = path.join(makeTestFolder(t), 'data');
  await startLimited(t, dataDir);
  writeFileSync(path.join(dataDir, 'postgres', 'initdb-left'), '');
  await startAndStop(dataDir);
  const left = readdirSync(path.join(dataDir, 'postgres'));
  assert.deepEqual(left, ['data', 'postgres.alive', 'service.lock']);
});

test('a setting that PostgreSQL refuses is told in its own words', async (t) => {
  const dataDir = makeDataDir(t);
  const settings = { shared_buffers: 'plenty' };
  await assert.rejects(startEmbeddedPostgres({ dataDir, log: () => {}, settings }), {
    name: 'StartError',
    message: /^PostgreSQL did not start: invalid value for parameter "shared_buffers": "plenty"/,
  });
  await startAndStop(dataDir);
});

test('a data directory whose path is a file is refused in one line', async (t) => {
  const file = path.join(makeTestFolder(t), 'file');
  writeFileSync(file, '');
  const inside = path.join(file, 'data');
  await assert.rejects(startAndStop(inside), {
    name: 'StartError',
    message: `cannot make the data directory ${inside}: a file of that name is in the way`,
  });
});

test('the reason in a log is its first fatal line', () => {
  const log = 'LOG:  starting\n2026-11-23 UTC [1] FATAL:  no space\nDETAIL:  none\nLOG:  bye\n';
  assert.equal(reasonInLog(log), 'no space');
  assert.equal(reasonInLog('initdb: error: too few\ninitdb: hint: more\n'), 'too few');
  assert.equal(reasonInLog('sh: postgres: not found\n'), 'sh: postgres: not found');
  assert.equal(reasonInLog('\n'), 'it wrote no reason');
});

/** With files of 100 KiB at most initdb cannot write the catalogue, as on a full disk. */
async function startLimited(t: TestContext, dataDir: string): Promise<string | undefined> {
  const wrapper = ['/bin/sh', '-c', 'ulimit -f 200; exec "$@"', 'sh'];
  const service = runScript(t, SERVICE, { wrapper, env: { DATA_DIR: dataDir } });
  const line = await service.nextLine();
  await service.ended;
  return line;
}

async function startAndStop(dataDir: string): Promise<void> {
  const server = await startEmbeddedPostgres({ dataDir, log: () => {} });
  await server.stop();
}
