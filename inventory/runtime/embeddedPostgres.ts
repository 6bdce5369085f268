import { chmodSync, existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { claimDataDir } from './dataDirClaim.ts';
import { type Guarded, startGuarded } from './guardian.ts';
import { awaitOrphan, ORPHAN_WAIT_MS } from './orphanedPostgres.ts';
import {
  ensureCluster,
  openPostgresLog,
  type PostgresLog,
  reasonInLog,
} from './postgresCluster.ts';
import { makeSocketDir, type PostgresHome, preparePostgresHome } from './postgresHome.ts';
import { reasonOf, StartError } from './startError.ts';

export interface EmbeddedPostgresOptions {
  /** Folder of the service's data; made when missing. The cluster is in its `postgres/data`. */
  dataDir: string;
  /** Takes one line about what takes time. */
  log: (line: string) => void;
  /** Sessions it must serve at once. Default 100. */
  connectionsMax?: number;
  /** More server settings, over ours. */
  settings?: Record<string, string>;
}

export interface EmbeddedPostgres {
  /** For `pg` and libpq: database and superuser `onhand`, over a unix socket. */
  url: string;
  dataDir: string;
  /** Resolves with a line that says so when PostgreSQL ends without having been told to. */
  failed: Promise<string>;
  /** Fast shutdown, then gives up the data directory. Waits; safe to call twice. */
  stop(): Promise<void>;
}

/** Seconds for PostgreSQL to end its sessions and checkpoint before it is cut off (SIGQUIT). */
const PATIENCE_SECONDS = 10;

/** Bound on crash recovery at start: 2 GB of WAL replay in well under it on a slow disk. */
const READY_WAIT_MS = 300_000;

/** Between two attempts to connect while it starts, which it offers no signal for. */
const READY_POLL_MS = 20;

/** Backends that outlive a killed postmaster notice it soon; a start waits as for the orphan. */
const LEFTOVER_POLL_MS = 200;

/**
 * Starts the PostgreSQL that comes with the service, on its data directory.
 *
 * It listens on a unix socket in a folder that only its user can enter, and on no port. It ends
 * with this process however that ends (guardian.ts), and recovers from what it did not survive.
 * Durability is PostgreSQL's default: fsync and synchronous commit are on.
 * @throws StartError with one line: in use, unwritable, full disk, other major version, …
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new StartError('the embedded PostgreSQL does not run on Windows: set DATABASE_URL');
  }
  const dataDir = makeDataDir(options.dataDir);
  const release = claimDataDir(dataDir);
  try {
    return await startClaimed({ ...options, dataDir }, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** For root it is open to pass through, since PostgreSQL runs as another user; for others closed. */
function makeDataDir(dataDir: string): string {
  try {
    if (!existsSync(dataDir)) {
      mkdirSync(dataDir, { recursive: true });
      chmodSync(dataDir, process.getuid?.() === 0 ? 0o711 : 0o700);
    }
    return realpathSync(dataDir);
  } catch (error) {
    throw new StartError(`cannot make the data directory ${dataDir}: ${reasonOf(error)}`);
  }
}

async function startClaimed(
  options: EmbeddedPostgresOptions,
  release: () => void,
): Promise<EmbeddedPostgres> {
  const { dataDir } = options;
  const home = await preparePostgresHome(dataDir);
  const log = openPostgresLog(dataDir);
  try {
    await awaitOrphan(path.join(home.folder, 'data'), options.log);
    const cluster = await ensureCluster(home, log);
    const { server, url } = await startServer(options, home, cluster, log);
    return { url, dataDir, ...lifeOf(server, log.file, release) };
  } finally {
    log.close();
  }
}

function lifeOf(server: Guarded, logFile: string, release: () => void) {
  let stopping = false;
  const failed = new Promise<string>((resolve) => {
    void server.exited.then((how) => {
      release();
      if (!stopping) resolve(`PostgreSQL ended by itself (${how}); its log is ${logFile}`);
    });
  });
  const stop = async () => {
    stopping = true;
    await server.stop();
  };
  return { failed, stop };
}

/** Bound: ORPHAN_WAIT_MS for leftovers of a killed server, then READY_WAIT_MS for recovery. */
async function startServer(
  options: EmbeddedPostgresOptions,
  home: PostgresHome,
  cluster: string,
  log: PostgresLog,
): Promise<{ server: Guarded; url: string }> {
  const deadline = Date.now() + ORPHAN_WAIT_MS;
  for (;;) {
    const socketDir = makeSocketDir(home.account);
    const server = await spawnServer(options, home, cluster, socketDir, log);
    const url = await awaitReady(server, socketDir);
    if (url) return { server, url };
    await server.stop();
    const reason = reasonInLog(log.tail());
    const leftovers = /shared memory block .* still in use/.test(reason);
    if (!leftovers || Date.now() > deadline) throw startFailure(reason, options.dataDir, log.file);
    await setTimeout(LEFTOVER_POLL_MS);
  }
}

function startFailure(reason: string, dataDir: string, logFile: string): StartError {
  if (/lock file "postmaster.pid" already exists/.test(reason)) {
    return new StartError(`the data directory ${dataDir} is in use by another PostgreSQL`);
  }
  return new StartError(`PostgreSQL did not start: ${reason} (see ${logFile})`);
}

async function spawnServer(
  options: EmbeddedPostgresOptions,
  home: PostgresHome,
  cluster: string,
  socketDir: string,
  log: PostgresLog,
): Promise<Guarded> {
  const settings = { ...serverSettings(options, socketDir), ...options.settings };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  try {
    return await startGuarded({
      command: path.join(home.binaries.root, 'bin', 'postgres'),
      args: ['-D', cluster, ...flags],
      stopSignal: 'INT',
      forceSignal: 'QUIT',
      patienceSeconds: PATIENCE_SECONDS,
      privateDir: socketDir,
      output: log.fd,
      account: home.account,
    });
  } catch (error) {
    rmSync(socketDir, { recursive: true, force: true });
    throw new StartError(`PostgreSQL did not start: ${reasonOf(error)}`);
  }
}

function serverSettings(options: EmbeddedPostgresOptions, socketDir: string) {
  return {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    // Three sessions beyond those are PostgreSQL's reserve for a superuser.
    max_connections: String(Math.max(100, options.connectionsMax ?? 0)),
    // The hot rows of a busy shop fit; the rest is the system's cache, and a laptop stays usable.
    shared_buffers: '128MB',
    // Full-page images after a checkpoint are most of the WAL of an update-heavy table.
    wal_compression: 'on',
    // Rare checkpoints: fewer full-page images. 2 GB bounds the disk and the recovery time.
    max_wal_size: '2GB',
    checkpoint_timeout: '15min',
    // Every statement here takes milliseconds; compiling one takes longer than running it.
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    cluster_name: 'onhand',
  };
}

/** @returns the URL of the service's database, or undefined when the server ended instead */
async function awaitReady(server: Guarded, socketDir: string): Promise<string | undefined> {
  const deadline = Date.now() + READY_WAIT_MS;
  const ended = server.exited.then(() => undefined);
  while (server.running && Date.now() < deadline) {
    const isReady = await Promise.race([ensureDatabase(socketDir), ended]);
    if (isReady) return urlOf(socketDir, 'onhand');
    await Promise.race([setTimeout(READY_POLL_MS), ended]);
  }
  return undefined;
}

/** sslmode in words, so that a PGSSLMODE of the environment does not ask for TLS on a socket. */
function urlOf(socketDir: string, database: string): string {
  return `postgres://onhand@localhost:5432/${database}?host=${socketDir}&sslmode=disable`;
}

/** Our own database, as `postgres` is for maintenance. @returns false while not accepting yet */
async function ensureDatabase(socketDir: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: urlOf(socketDir, 'postgres') });
  client.on('error', () => {});
  try {
    await client.connect();
    const found = await client.query(`SELECT FROM pg_database WHERE datname = 'onhand'`);
    if (found.rowCount === 0) await client.query('CREATE DATABASE onhand');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
