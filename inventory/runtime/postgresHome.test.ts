import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import pg from 'pg';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript } from '../../fixtures/script.ts';
import { startEmbeddedPostgres } from './embeddedPostgres.ts';
import { findPostgresBinaries, shareBinaries } from './postgresBinaries.ts';
import { preparePostgresHome, SHARED_FOLDER } from './postgresHome.ts';

/** An ordinary user of this test's; no account of that number need exist. */
const NOBODY = 65_534;

const AS_ROOT = { skip: process.getuid?.() !== 0 && 'needs root' };

/** The other user runs this very checkout, so it must be one that others may read. */
const AS_ROOT_AND_ANOTHER = {
  skip: AS_ROOT.skip || (!othersCanRead(import.meta.filename) && 'needs a readable checkout'),
};

/**
 * A database with 7 units under a folder that its user cannot enter: it lies elsewhere, behind a
 * link.
 */
async function makeLinked(t: TestContext): Promise<{ closed: string; dataDir: string }> {
  const closed = path.join(makeTestFolder(t), 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const dataDir = path.join(closed, '.onhand');
  await withServer(dataDir, (client) => client.query('CREATE TABLE stock AS SELECT 7 AS units'));
  return { closed, dataDir };
}

test(
  'root keeps the database elsewhere when its user cannot enter the directory',
  AS_ROOT,
  async (t) => {
    const { closed, dataDir } = await makeLinked(t);
    const target = readlinkSync(path.join(dataDir, 'postgres'));
    assert.equal(path.dirname(target), SHARED_FOLDER);
    assert.equal(statSync(target).mode & 0o777, 0o700);
    assert.equal(statSync(closed).mode & 0o777, 0o700);
    const found = await withServer(dataDir, (client) => client.query('SELECT units FROM stock'));
    assert.deepEqual(found.rows, [{ units: 7 }]);
  },
);

test('root gives away the database folder and nothing above it', AS_ROOT, async (t) => {
  const dataDir = path.join(makeTestFolder(t), 'data');
  await withServer(dataDir, (client) => client.query('SELECT 1'));
  assert.equal(statSync(dataDir).uid, 0);
  assert.notEqual(statSync(path.join(dataDir, 'postgres')).uid, 0);
  assert.equal(lstatSync(path.join(dataDir, 'postgres')).isSymbolicLink(), false);
  assert.equal(statSync(path.join(dataDir, 'postgres.log')).uid, 0);
});

test('a strict umask of root does not close the directory to the database', AS_ROOT, async (t) => {
  const dataDir = path.join(makeTestFolder(t), 'data');
  const script = `
    import { startEmbeddedPostgres } from '/inventory/runtime/embeddedPostgres.ts';
    process.umask(0o077);
    const server = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, log: () => {} });
    await server.stop();
  `;
  const service = runScript(t, script, { env: { DATA_DIR: dataDir } });
  assert.equal(await service.ended, 0, service.errors());
  assert.equal(lstatSync(path.join(dataDir, 'postgres')).isSymbolicLink(), false);
});

test(
  'a database that an ordinary user made runs under root and still under that user',
  AS_ROOT_AND_ANOTHER,
  async (t) => {
    const dataDir = path.join(makeTestFolder(t), 'data');
    mkdirSync(dataDir);
    chownSync(dataDir, NOBODY, NOBODY);
    const script = `
    import { startEmbeddedPostgres } from '/inventory/runtime/embeddedPostgres.ts';
    const server = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, log: () => {} });
    await server.stop();
  `;
    const asNobody = () => runScript(t, script, { uid: NOBODY, env: { DATA_DIR: dataDir } });
    const first = asNobody();
    assert.equal(await first.ended, 0, first.errors());
    await withServer(dataDir, (client) => client.query('SELECT 1'));
    const second = asNobody();
    assert.equal(await second.ended, 0, second.errors());
  },
);

test('of first starts at once one makes the folder, and all find it', async (t) => {
  const script = `
    import { preparePostgresHome } from '/inventory/runtime/postgresHome.ts';
    process.once('SIGUSR2', async () => {
      const prepared = preparePostgresHome(process.env.DATA_DIR);
      console.log(await prepared.then((home) => home.folder, String));
      clearInterval(waiting);
    });
    const waiting = setInterval(() => {}, 1_000);
    console.log('up');
  `;
  // As root a folder in place, and a link.
  for (const mode of [0o711, 0o700]) {
    const folder = path.join(makeTestFolder(t), 'folder');
    mkdirSync(folder, { mode });
    const dataDir = path.join(folder, 'data');
    mkdirSync(dataDir);
    const starts = [1, 2, 3, 4].map(() => runScript(t, script, { env: { DATA_DIR: dataDir } }));
    for (const start of starts) assert.equal(await start.nextLine(), 'up', start.errors());
    for (const start of starts) start.signal('SIGUSR2');
    const folders = await Promise.all(starts.map((start) => start.nextLine()));
    const found = realpathSync(path.join(dataDir, 'postgres'));
    assert.deepEqual(folders, [found, found, found, found]);
  }
});

test(
  'a backup of a linked database is restored where it was, as the manual says',
  AS_ROOT,
  async (t) => {
    const { closed, dataDir } = await makeLinked(t);
    const manual = path.join(import.meta.dirname, '..', '..', 'docs', 'operating.md');
    const section = readFileSync(manual, 'utf8').split('## Back up and verify')[1] ?? '';
    const [commands = ''] = /(?<=```\n)tar.*?(?=```)/s.exec(section) ?? [];
    const shell = commands.replace(/^ONHAND_DATA_DIR=.*$/m, '');
    assert.match(shell, /tar -xzf.*ln -s/s);
    const run = spawnSync('/bin/sh', ['-ec', shell], { cwd: closed, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    const restored = path.join(closed, 'restored');
    assert.notEqual(realpathSync(restored), realpathSync(dataDir));
    const found = await withServer(restored, (client) => client.query('SELECT units FROM stock'));
    assert.deepEqual(found.rows, [{ units: 7 }]);
  },
);

test('a link to a database folder that is gone is an error, not a new database', async (t) => {
  const dataDir = makeTestFolder(t);
  symlinkSync(path.join(dataDir, 'gone'), path.join(dataDir, 'postgres'));
  await assert.rejects(preparePostgresHome(dataDir), /is a link that points nowhere$/);
  assert.equal(existsSync(path.join(dataDir, 'gone')), false);
});

test('shared binaries are copied once, whole and for everybody', async (t) => {
  const shared = makeTestFolder(t);
  const found = await findPostgresBinaries();
  const source = path.join(shared, 'source');
  mkdirSync(path.join(source, 'bin'), { recursive: true, mode: 0o700 });
  writeFileSync(path.join(source, 'bin', 'postgres'), 'program', { mode: 0o700 });
  writeFileSync(path.join(source, 'page'), 'text', { mode: 0o600 });
  symlinkSync('page', path.join(source, 'link'));
  const copy = shareBinaries({ ...found, root: source }, shared).root;
  assert.equal(path.basename(copy), `postgresql-${found.version}`);
  assert.deepEqual(
    ['', 'bin', 'bin/postgres', 'page'].map((name) => statSync(path.join(copy, name)).mode & 0o777),
    [0o755, 0o755, 0o755, 0o644],
  );
  assert.equal(readlinkSync(path.join(copy, 'link')), 'page');
  rmSync(source, { recursive: true });
  assert.equal(shareBinaries({ ...found, root: source }, shared).root, copy);
});

test('a copy of the binaries that fails leaves nothing', async (t) => {
  const shared = makeTestFolder(t);
  const found = await findPostgresBinaries();
  const gone = path.join(shared, 'gone');
  assert.throws(() => shareBinaries({ ...found, root: gone }, shared), /cannot copy PostgreSQL/);
  assert.deepEqual(readdirSync(shared), []);
});

async function withServer<T>(dataDir: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const server = await startEmbeddedPostgres({ dataDir, log: () => {} });
  const client = new pg.Client({ connectionString: server.url });
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end();
    await server.stop();
  }
}

function othersCanRead(file: string): boolean {
  const user = { uid: NOBODY, gid: NOBODY, cwd: '/' };
  return spawnSync('/bin/sh', ['-c', 'test -r "$1"', 'sh', file], user).status === 0;
}
