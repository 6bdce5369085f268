import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript } from '../../fixtures/script.ts';
import { claimDatabase } from './databaseClaim.ts';

/** Claims at the instant it is told, and holds what it got until it is killed. */
const CLAIMANT = `
  import { claimDatabase } from '/inventory/runtime/databaseClaim.ts';
  process.once('SIGUSR2', () => {
    try {
      claimDatabase({ folder: process.env.FOLDER, account: undefined }, 'D');
      console.log('claimed');
    } catch (error) {
      console.log(error.message);
    }
  });
  setInterval(() => {}, 1_000);
  console.log('up');
`;

/** An ordinary user of this test's; no account of that number need exist. */
const NOBODY = 65_534;

test('a folder is claimed once and free again after its release', (t) => {
  const folder = makeTestFolder(t);
  const release = claim(folder);
  assert.deepEqual(readdirSync(folder), ['service.lock', 'service.pid']);
  assert.throws(() => claim(folder), {
    name: 'StartError',
    message: `the data directory D is in use by the service with pid ${process.pid}`,
  });
  release();
  claim(folder)();
  assert.deepEqual(readdirSync(folder), ['service.lock']);
});

test('a claim holds by whatever path somebody comes to the folder', (t) => {
  const folder = makeTestFolder(t);
  const link = path.join(makeTestFolder(t), 'link');
  symlinkSync(folder, link);
  const release = claim(folder);
  assert.throws(() => claim(link), /in use/);
  release();
});

test('a second release leaves the claim that followed alone', (t) => {
  const folder = makeTestFolder(t);
  const release = claim(folder);
  release();
  const next = claim(folder);
  release();
  assert.ok(existsSync(path.join(folder, 'service.pid')));
  assert.throws(() => claim(folder), /in use by the service with pid/);
  next();
});

test('a claim ends with its process, and what that left says nothing', async (t) => {
  const folder = makeTestFolder(t);
  const [line, holder] = await claimInProcess(t, folder);
  assert.equal(line, 'claimed');
  assert.throws(() => claim(folder), new RegExp(`in use by the service with pid ${holder.pid}$`));
  holder.signal('SIGKILL');
  await holder.ended;
  assert.ok(existsSync(path.join(folder, 'service.pid')));
  claim(folder)();
});

test('a claim lasts when nobody keeps what gives it up', async (t) => {
  const folder = makeTestFolder(t);
  const script = `
    import { claimDatabase } from '/inventory/runtime/databaseClaim.ts';
    import { setFlagsFromString } from 'node:v8';
    import { runInNewContext } from 'node:vm';
    (() => void claimDatabase({ folder: process.env.FOLDER, account: undefined }, 'D'))();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    setInterval(() => {
      collect();
      console.log('collected');
    }, 10);
  `;
  const holder = runScript(t, script, { env: { FOLDER: folder } });
  // Finalizers run between turns of the loop.
  for (let turn = 0; turn < 3; turn += 1) assert.equal(await holder.nextLine(), 'collected');
  assert.throws(() => claim(folder), /in use/);
});

test('of eight services that start at once, one gets the folder', async (t) => {
  const folder = makeTestFolder(t);
  writeFileSync(path.join(folder, 'service.pid'), '{"pid":1,"host":"of an earlier service"}');
  const results = await claimTogether(t, folder, 8);
  assert.equal(results.filter((line) => line === 'claimed').length, 1, results.join('\n'));
  const refused = results.filter((line) => /^the data directory D is in use by/.test(line ?? ''));
  assert.equal(refused.length, 7, results.join('\n'));
});

test('a holder on another host is named with it, and one that cannot be read as such', (t) => {
  const folder = makeTestFolder(t);
  const release = claim(folder);
  const pidFile = path.join(folder, 'service.pid');
  writeFileSync(pidFile, '{"pid":1,"host":"3f2a"}');
  assert.throws(() => claim(folder), /in use by the service with pid 1 on 3f2a$/);
  writeFileSync(pidFile, '');
  assert.throws(() => claim(folder), /in use by another service$/);
  release();
});

test('a lock that cannot be had is an error that names the file', (t) => {
  const folder = makeTestFolder(t);
  const file = path.join(folder, 'service.lock');
  writeFileSync(file, 'something else, and long enough to be looked at'.repeat(20));
  assert.throws(() => claim(folder), {
    name: 'StartError',
    message: `cannot lock ${file}: file is not a database`,
  });
  const missing = path.join(folder, 'none');
  assert.throws(() => claim(missing), { name: 'StartError', message: /^cannot lock .*none/ });
});

test('a claim that cannot be noted is given up', (t) => {
  const folder = makeTestFolder(t);
  const inTheWay = path.join(folder, 'service.pid');
  mkdirSync(inTheWay);
  assert.throws(() => claim(folder), {
    name: 'StartError',
    message: /^cannot remove .*service.pid/,
  });
  rmdirSync(inTheWay);
  claim(folder)();
});

test('the lock that root makes is of the user who owns the folder', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, (t) => {
  const folder = makeTestFolder(t);
  claimDatabase({ folder, account: { uid: NOBODY, gid: NOBODY } }, 'D')();
  assert.equal(statSync(path.join(folder, 'service.lock')).uid, NOBODY);
});

function claim(folder: string): () => void {
  return claimDatabase({ folder, account: undefined }, 'D');
}

async function claimInProcess(t: TestContext, folder: string) {
  const claimant = runScript(t, CLAIMANT, { env: { FOLDER: folder } });
  assert.equal(await claimant.nextLine(), 'up', claimant.errors());
  claimant.signal('SIGUSR2');
  return [await claimant.nextLine(), claimant] as const;
}

async function claimTogether(t: TestContext, folder: string, count: number) {
  const options = { env: { FOLDER: folder } };
  const claimants = Array.from({ length: count }, () => runScript(t, CLAIMANT, options));
  for (const claimant of claimants) assert.equal(await claimant.nextLine(), 'up');
  for (const claimant of claimants) claimant.signal('SIGUSR2');
  return Promise.all(claimants.map((claimant) => claimant.nextLine()));
}
