import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import pg from 'pg';
import { waitFor } from '../../fixtures/condition.ts';
import { makeDataDir } from '../../fixtures/dataDir.ts';
import { makeTestFolder } from '../../fixtures/folder.ts';
import { runScript, type Script } from '../../fixtures/script.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embeddedPostgres.ts';
import { makeSocketDir, preparePostgresHome } from './postgresHome.ts';
import { commandLine, processIdentity } from './processes.ts';

/** Finding the parts of a guardian takes proc(5). */
const NEEDS_PROC = { skip: process.platform !== 'linux' && 'needs /proc' };

/**
 * As a second container sees the volume: the files, and no process or shared memory of the first.
 */
const ENTER_CONTAINER = [
  ...['unshare', '--pid', '--ipc', '--mount', '--fork', '--mount-proc', '--kill-child'],
];
const [unshare = '', ...namespaces] = ENTER_CONTAINER;
const CONTAINER = {
  skip: spawnSync(unshare, [...namespaces, 'true']).status !== 0 && 'needs unshare and its rights',
};

/** A service that holds the data directory: prints the URL, notes what reaches it, never ends. */
const SERVICE = `
  import { startEmbeddedPostgres } from '/inventory/runtime/embeddedPostgres.ts';
  process.on('SIGINT', () => console.log('interrupted'));
  const { url } = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, log: () => {} });
  console.log(url);
`;

test('stock written before a stop is there after the next start', async (t) => {
  const dataDir = makeDataDir(t);
  const first = await start(t, dataDir);
  await query(first.url, 'CREATE TABLE stock AS SELECT 7 AS units');
  const socketDir = socketDirOf(first.url);
  assert.equal(statSync(socketDir).mode & 0o777, 0o700);
  await first.stop();
  await first.stop();
  assert.equal(existsSync(socketDir), false);
  assert.equal(existsSync(path.join(dataDir, 'postgres', 'service.pid')), false);
  const second = await start(t, dataDir);
  assert.deepEqual(await query(second.url, 'SELECT units FROM stock'), [{ units: 7 }]);
});

test('it is durable, checked by checksums, in UTF-8, and listens on no port', async (t) => {
  const { url } = await start(t, path.join(makeTestFolder(t), 'data'));
  const names = ['fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums'];
  const on = names.map((name) => `current_setting('${name}')`).join(', ');
  const [row] = await query(
    url,
    `SELECT ARRAY[${on}] AS durable, current_setting('listen_addresses') AS addresses,
       current_setting('server_encoding') AS encoding, current_database() AS database`,
  );
  assert.deepEqual(row, {
    durable: ['on', 'on', 'on', 'on'],
    addresses: '',
    encoding: 'UTF8',
    database: 'onhand',
  });
});

test('kill -9 of the service ends PostgreSQL, and the next start has what was committed', async (t) => {
  const dataDir = makeDataDir(t);
  const { service, url } = await startInProcess(t, dataDir);
  await query(url, 'CREATE TABLE stock AS SELECT 7 AS units');
  const postmaster = postmasterOf(dataDir);
  service.signal('SIGKILL');
  await waitFor('PostgreSQL ends', () => processIdentity(postmaster) === undefined);
  await waitFor('its socket folder goes', () => !existsSync(socketDirOf(url)));
  const next = await start(t, dataDir);
  assert.deepEqual(await query(next.url, 'SELECT units FROM stock'), [{ units: 7 }]);
});

test('a start right after kill -9 of the service waits for its PostgreSQL', async (t) => {
  const dataDir = makeDataDir(t);
  const { service } = await startInProcess(t, dataDir);
  service.signal('SIGKILL');
  await service.ended;
  const next = await start(t, dataDir);
  assert.deepEqual(await query(next.url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

test(
  'kill -9 of the service, the guardian and PostgreSQL at once loses nothing',
  NEEDS_PROC,
  async (t) => {
    const dataDir = makeDataDir(t);
    const { service, url } = await startInProcess(t, dataDir);
    await query(url, 'CREATE TABLE stock AS SELECT 7 AS units');
    const postmaster = postmasterOf(dataDir);
    killGuardian(postmaster);
    process.kill(postmaster, 'SIGKILL');
    service.signal('SIGKILL');
    await service.ended;
    const next = await start(t, dataDir);
    assert.deepEqual(await query(next.url, 'SELECT units FROM stock'), [{ units: 7 }]);
    assert.equal(existsSync(socketDirOf(url)), false);
  },
);

test(
  'a PostgreSQL that lost its service and its guardian is ended by the next start',
  NEEDS_PROC,
  async (t) => {
    const dataDir = makeDataDir(t);
    const { service } = await startInProcess(t, dataDir);
    const postmaster = postmasterOf(dataDir);
    killGuardian(postmaster);
    service.signal('SIGKILL');
    await service.ended;
    const lines: string[] = [];
    const next = await start(t, dataDir, (line) => lines.push(line));
    assert.match(lines.join('\n'), new RegExp(`pid ${postmaster}`));
    // Told to stop, it checkpointed; cut off, it would have had to recover.
    const serverLog = readFileSync(path.join(dataDir, 'postgres.log'), 'utf8');
    assert.doesNotMatch(serverLog, /not properly shut down/);
    assert.notEqual(postmasterOf(dataDir), postmaster);
    assert.deepEqual(await query(next.url, 'SELECT 1 AS one'), [{ one: 1 }]);
  },
);

test('Ctrl-C to the process group reaches the service and not PostgreSQL', async (t) => {
  const { service, url } = await startInProcess(t, makeDataDir(t));
  const session = await connect(t, url);
  process.kill(-service.pid, 'SIGINT');
  assert.equal(await service.nextLine(), 'interrupted');
  assert.deepEqual((await session.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
});

test('a second service on a live directory is refused with its path and the pid', async (t) => {
  const dataDir = makeDataDir(t);
  const { service, url } = await startInProcess(t, dataDir);
  await assert.rejects(start(t, dataDir), {
    name: 'StartError',
    message: `the data directory ${dataDir} is in use by the service with pid ${service.pid}`,
  });
  assert.deepEqual(await query(url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

test('a copy of the data directory that leads to the same database is refused', async (t) => {
  const dataDir = makeDataDir(t);
  const { service, url } = await startInProcess(t, dataDir);
  const copy = makeTestFolder(t);
  symlinkSync(path.join(dataDir, 'postgres'), path.join(copy, 'postgres'));
  await assert.rejects(start(t, copy), {
    name: 'StartError',
    message: `the data directory ${copy} is in use by the service with pid ${service.pid}`,
  });
  assert.deepEqual(await query(url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

test('a service in another container on the same volume is refused', CONTAINER, async (t) => {
  const dataDir = makeDataDir(t);
  const { url } = await startInProcess(t, dataDir);
  const postmaster = postmasterOf(dataDir);
  const second = runScript(t, SERVICE, { env: { DATA_DIR: dataDir }, wrapper: ENTER_CONTAINER });
  assert.equal(await second.nextLine(), undefined);
  assert.match(
    second.errors(),
    /StartError: the data directory .* is in use by the service with pid/,
  );
  assert.equal(postmasterOf(dataDir), postmaster);
  assert.deepEqual(await query(url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

suite('a PostgreSQL that a dead service left in another container', { concurrency: 2 }, () => {
  test('is awaited, and then its database is whole', CONTAINER, async (t) => {
    const dataDir = makeDataDir(t);
    const postmaster = await leaveOrphanInContainer(t, dataDir);
    const next = start(t, dataDir, (line) => {
      assert.match(line, /in another container/);
      process.kill(postmaster, 'SIGINT');
    });
    assert.deepEqual(await query((await next).url, 'SELECT units FROM stock'), [{ units: 7 }]);
    assert.equal(processIdentity(postmaster), undefined);
    const serverLog = readFileSync(path.join(dataDir, 'postgres.log'), 'utf8');
    assert.doesNotMatch(serverLog, /not properly shut down/);
  });

  test('is named and left alone when it goes on', CONTAINER, async (t) => {
    const dataDir = makeDataDir(t);
    const postmaster = await leaveOrphanInContainer(t, dataDir);
    const pidFile = path.join(clusterOf(dataDir), 'postmaster.pid');
    const before = readFileSync(pidFile, 'utf8');
    await assert.rejects(start(t, dataDir), {
      name: 'StartError',
      message: /^a PostgreSQL of a service that died, perhaps in another container, still runs/,
    });
    assert.ok(processIdentity(postmaster));
    assert.equal(readFileSync(pidFile, 'utf8'), before);
  });
});

test('a postmaster.pid whose pid belongs to another process now does not stop a start', async (t) => {
  const dataDir = makeDataDir(t);
  await (await start(t, dataDir)).stop();
  const cluster = clusterOf(dataDir);
  // Of the database's own user: one of another user is stale to PostgreSQL by itself.
  const stranger = spawn('sleep', ['600'], { uid: statSync(cluster).uid });
  t.after(() => void stranger.kill());
  const stale = [stranger.pid, cluster, 1, 5432, '/nowhere', '', '', 'ready', ''];
  writeFileSync(path.join(cluster, 'postmaster.pid'), stale.join('\n'));
  const next = await start(t, dataDir);
  assert.deepEqual(await query(next.url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

test('a PostgreSQL that somebody else runs on the cluster is named and left alone', async (t) => {
  const dataDir = makeDataDir(t);
  await (await start(t, dataDir)).stop();
  const { account, binaries } = await preparePostgresHome(dataDir);
  const cluster = clusterOf(dataDir);
  const sockets = makeSocketDir(account);
  const quiet = ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${sockets}`];
  const program = path.join(binaries.root, 'bin', 'postgres');
  const other = spawn(program, ['-D', cluster, ...quiet], { ...account, stdio: 'ignore' });
  t.after(async () => {
    other.kill('SIGINT');
    await new Promise((resolve) => other.once('exit', resolve));
    rmSync(sockets, { recursive: true, force: true });
  });
  const pidFile = path.join(cluster, 'postmaster.pid');
  await waitFor('the other is ready', () => existsSync(pidFile) && isReady(pidFile));
  await assert.rejects(start(t, dataDir), {
    name: 'StartError',
    message: `the database in ${cluster} is in use by another PostgreSQL (pid ${other.pid})`,
  });
  assert.equal(postmasterOf(dataDir), other.pid);
  assert.ok(processIdentity(other.pid ?? 0));
});

test('an end of PostgreSQL that nobody asked for is told, and frees the directory', async (t) => {
  const dataDir = makeDataDir(t);
  const server = await start(t, dataDir);
  process.kill(postmasterOf(dataDir), 'SIGKILL');
  assert.match(await server.failed, /^PostgreSQL ended by itself \(code 137\)/);
  const next = await start(t, dataDir);
  assert.deepEqual(await query(next.url, 'SELECT 1 AS one'), [{ one: 1 }]);
});

function start(t: TestContext, dataDir: string, log: (line: string) => void = () => {}) {
  return startEmbeddedPostgres({ dataDir, log }).then((server: EmbeddedPostgres) => {
    t.after(() => server.stop());
    return server;
  });
}

async function startInProcess(
  t: TestContext,
  dataDir: string,
): Promise<{ service: Script; url: string }> {
  const service = runScript(t, SERVICE, { env: { DATA_DIR: dataDir } });
  const url = await service.nextLine();
  assert.ok(url, service.errors());
  return { service, url };
}

function clusterOf(dataDir: string): string {
  return realpathSync(path.join(dataDir, 'postgres', 'data'));
}

function postmasterOf(dataDir: string): number {
  return Number.parseInt(readFileSync(path.join(clusterOf(dataDir), 'postmaster.pid'), 'utf8'), 10);
}

/**
 * In a container whose first process goes on without it.
 * @returns the pid of the postmaster here
 */
async function leaveOrphanInContainer(t: TestContext, dataDir: string): Promise<number> {
  const script = `${SERVICE}
    const client = new (await import('${import.meta.resolve('pg')}')).default.Client(url);
    await client.connect();
    await client.query('CREATE TABLE stock AS SELECT 7 AS units');
    await client.end();
    console.log('written');`;
  const wrapper = [...ENTER_CONTAINER, 'sh', '-c', '"$@"; echo killed; exec sleep 600', 'sh'];
  const container = runScript(t, script, { env: { DATA_DIR: dataDir }, wrapper });
  assert.ok(await container.nextLine(), container.errors());
  assert.equal(await container.nextLine(), 'written', container.errors());
  const parts = processesNaming(clusterOf(dataDir));
  const postmaster = parts.find((pid) => !commandLine(pid).includes('onhand-guardian')) ?? 0;
  const guardian = parts.filter((part) => part !== postmaster);
  // First the part that would stop the server, which Node tells when the shell ends.
  for (const pid of guardian.toReversed()) process.kill(pid, 'SIGKILL');
  const service = childOf(childOf(container.pid));
  process.kill(service, 'SIGKILL');
  assert.equal(await container.nextLine(), 'killed');
  return postmaster;
}

function processesNaming(text: string): number[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isSafeInteger);
  return pids.filter((pid) => commandLine(pid).includes(text));
}

function childOf(pid: number): number {
  return Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10);
}

/** The shell that waits for the server, and the part of it that reads the pipe. */
function killGuardian(postmaster: number): void {
  const status = readFileSync(`/proc/${postmaster}/status`, 'utf8');
  const shell = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
  const children = readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ');
  const watchers = children.map(Number).filter((pid) => pid !== postmaster);
  for (const pid of [shell, ...watchers]) process.kill(pid, 'SIGKILL');
}

function isReady(pidFile: string): boolean {
  return /^ready/m.test(readFileSync(pidFile, 'utf8'));
}

function socketDirOf(url: string): string {
  return new URL(url).searchParams.get('host') ?? '';
}

async function connect(t: TestContext, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  t.after(() => client.end());
  await client.connect();
  return client;
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return (await client.query(sql).finally(() => client.end())).rows;
}
