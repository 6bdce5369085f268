import { closeSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { type Guarded, startGuarded } from './guardian.ts';
import { openLivenessPipe } from './livenessPipe.ts';
import { ORPHAN_WAIT_MS } from './orphanedPostgres.ts';
import { type PostgresLog, reasonInLog } from './postgresCluster.ts';
import { makeSocketDir, type PostgresHome } from './postgresHome.ts';
import { StartError } from './startError.ts';

export interface ServerOptions {
  dataDir: string;
  home: PostgresHome;
  cluster: string;
  log: PostgresLog;
  connectionsMax?: number;
  settings?: Record<string, string>;
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
 * Starts the server on a cluster and makes the service's database.
 *
 * Bound: ORPHAN_WAIT_MS for backends of a killed server, then READY_WAIT_MS for crash recovery.
 * @throws StartError with the server's own reason
 */
export async function startServer(
  options: ServerOptions,
): Promise<{ server: Guarded; url: string }> {
  const { home, log, dataDir } = options;
  const deadline = Date.now() + ORPHAN_WAIT_MS;
  for (;;) {
    const socketDir = makeSocketDir(home.account);
    const server = await spawnServer(options, socketDir);
    const isReady = await awaitReady(server, socketDir);
    if (isReady) return { server, url: urlOf(socketDir, 'onhand') };
    const reason = reasonInLog(log.tail());
    const hasLeftovers = /shared memory block .* still in use/.test(reason);
    if (!hasLeftovers || Date.now() > deadline) throw startFailure(reason, dataDir, log.file);
    await setTimeout(LEFTOVER_POLL_MS);
  }
}

function startFailure(reason: string, dataDir: string, logFile: string): StartError {
  if (/lock file "postmaster.pid" already exists/.test(reason)) {
    return new StartError(`the data directory ${dataDir} is in use by another PostgreSQL`);
  }
  return new StartError(`PostgreSQL did not start: ${reason} (see ${logFile})`);
}

async function spawnServer(options: ServerOptions, socketDir: string): Promise<Guarded> {
  const { home, cluster, log } = options;
  const settings = { ...serverSettings(options, socketDir), ...options.settings };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  let inherited: number | undefined;
  try {
    inherited = openLivenessPipe(home);
    return await startGuarded({
      command: path.join(home.binaries.root, 'bin', 'postgres'),
      args: ['-D', cluster, ...flags],
      stopSignal: 'INT',
      forceSignal: 'QUIT',
      patienceSeconds: PATIENCE_SECONDS,
      privateDir: socketDir,
      output: log.fd,
      inherited,
      account: home.account,
    });
  } catch (error) {
    rmSync(socketDir, { recursive: true, force: true });
    throw error;
  } finally {
    if (inherited !== undefined) closeSync(inherited);
  }
}

function serverSettings(options: ServerOptions, socketDir: string): Record<string, string> {
  return {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
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
    // A start recognises by it the server that a dead service left behind.
    cluster_name: 'onhand',
  };
}

/** @returns false when the server ended instead, with the reason in its log */
async function awaitReady(server: Guarded, socketDir: string): Promise<boolean> {
  const deadline = Date.now() + READY_WAIT_MS;
  try {
    while (server.running) {
      if (await ensureDatabase(socketDir)) return true;
      if (Date.now() > deadline) throw new StartError('PostgreSQL did not get ready in 5 minutes');
      await Promise.race([setTimeout(READY_POLL_MS), server.exited]);
    }
    return false;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** sslmode in words, so that a PGSSLMODE of the environment does not ask for TLS on a socket. */
export function urlOf(socketDir: string, database: string): string {
  const host = encodeURI(socketDir).replaceAll(/[+&#?]/g, encodeURIComponent);
  return `postgres://onhand@localhost:5432/${database}?host=${host}&sslmode=disable`;
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
  } catch (error) {
    if (isStarting(error)) return false;
    throw error;
  } finally {
    await client.end().catch(() => {});
  }
}

/** No socket yet, nobody behind it, cannot_connect_now, or the server ended while we asked. */
function isStarting(error: unknown): boolean {
  const { code, message } = error as { code?: string; message?: string };
  const codes = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P03', '57P01'];
  return codes.includes(code ?? '') || /Connection terminated/.test(message ?? '');
}
