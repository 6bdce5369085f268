import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { waitFor } from '../../fixtures/condition.ts';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript } from '../../fixtures/script.ts';
import { claimDataDir } from './dataDirClaim.ts';
import { commandLine, processIdentity } from './processes.ts';

const LINUX = { skip: process.platform !== 'linux' && 'needs /proc' };

/** Claims at the instant it is told, and holds what it got until it is killed. */
const CLAIMANT = `
  import { claimDataDir } from '/inventory/runtime/dataDirClaim.ts';
  process.once('SIGUSR2', () => {
    try {
      claimDataDir(process.env.DATA_DIR);
      console.log('claimed');
    } catch (error) {
      console.log(error.message);
    }
  });
  setInterval(() => {}, 1_000);
  console.log('up');
`;

test('a directory is claimed once and free again after its release', (t) => {
  const dataDir = makeTestFolder(t);
  const release = claimDataDir(dataDir);
  assert.throws(() => claimDataDir(dataDir), {
    message: `the data directory ${dataDir} is in use by the service with pid ${process.pid}`,
  });
  release();
  claimDataDir(dataDir)();
  assert.deepEqual(readdirSync(dataDir), []);
});

test('a claim whose pid was given to another process is stale', (t) => {
  const dataDir = makeTestFolder(t);
  writeClaim(dataDir, process.pid, 'an earlier process');
  claimDataDir(dataDir)();
});

test('a claim whose holder is dead and not yet reaped is stale', LINUX, async (t) => {
  const dataDir = makeTestFolder(t);
  // The shell becomes a program that never waits for the children it inherits.
  const parent = spawn('/bin/sh', ['-c', 'sleep 600 & echo $!; exec sleep 600']);
  t.after(() => void parent.kill());
  const [chunk] = (await once(parent.stdout, 'data')) as [Buffer];
  const holder = Number(chunk.toString());
  writeClaim(dataDir, holder, processIdentity(holder) ?? '');
  assert.throws(() => claimDataDir(dataDir), /in use/);
  await waitFor('the shell gives way', () => commandLine(parent.pid ?? 0) === 'sleep 600');
  process.kill(holder, 'SIGKILL');
  await waitFor('the holder is a zombie', () => / Z /.test(statOf(holder)));
  claimDataDir(dataDir)();
});

test('a file that is no claim is stale', (t) => {
  const dataDir = makeTestFolder(t);
  writeFileSync(path.join(dataDir, 'service.pid'), '12');
  claimDataDir(dataDir)();
});

test('a late release leaves the claim of another service alone', (t) => {
  const dataDir = makeTestFolder(t);
  const release = claimDataDir(dataDir);
  writeClaim(dataDir, process.ppid, processIdentity(process.ppid) ?? '');
  release();
  assert.throws(() => claimDataDir(dataDir), /in use by the service with pid/);
});

test('of eight services that find a stale claim at once, one gets the directory', async (t) => {
  const dataDir = makeTestFolder(t);
  writeClaim(dataDir, process.pid, 'an earlier process');
  const results = await claimTogether(t, dataDir, 8);
  assert.equal(results.filter((line) => line === 'claimed').length, 1, results.join('\n'));
  const refused = results.filter((line) => /is in use by|is being claimed/.test(line ?? ''));
  assert.equal(refused.length, 7, results.join('\n'));
});

test('a directory that cannot be written is named with the reason', (t) => {
  const missing = path.join(makeTestFolder(t), 'file');
  writeFileSync(missing, '');
  assert.throws(() => claimDataDir(missing), {
    message: `cannot write to the data directory ${missing}: a part of the path is not a folder`,
  });
});

async function claimTogether(t: TestContext, dataDir: string, count: number) {
  const options = { env: { DATA_DIR: dataDir } };
  const claimants = Array.from({ length: count }, () => runScript(t, CLAIMANT, options));
  for (const claimant of claimants) assert.equal(await claimant.nextLine(), 'up');
  for (const claimant of claimants) claimant.signal('SIGUSR2');
  return Promise.all(claimants.map((claimant) => claimant.nextLine()));
}

function statOf(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, 'utf8');
}

function writeClaim(dataDir: string, pid: number, identity: string): void {
  writeFileSync(path.join(dataDir, 'service.pid'), JSON.stringify({ pid, identity }));
}
