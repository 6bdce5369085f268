import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { createClient } from 'redis';
import { findRedisServer, makeRedisDir, startRedis } from '../inventory/runtime/childRedis.ts';
import { startEmbeddedPostgres } from '../inventory/runtime/embeddedPostgres.ts';
import { readProcesses } from './measure/processes.ts';

/** The servers that all subjects share, so that none has a faster one. */
export interface Rig {
  /**
   * Redis of a subject of its own, on a private socket, with the settings of Onhand's own child.
   */
  startRedis(): Promise<RedisServer>;
  /** Makes an empty database. @returns its URL */
  createDatabase(name: string): Promise<string>;
  /** On the maintenance database. */
  query<Row extends pg.QueryResultRow>(sql: string): Promise<Row[]>;
  readonly postmasterPid: number;
  /** Folder for files of this run. */
  readonly folder: string;
  /** Stops all of it and removes the data. */
  stop(): Promise<void>;
}

export interface RedisServer {
  /** `unix://…`. */
  readonly url: string;
  readonly pid: number;
}

/** pgbench and every pool at once, at the largest number of connections. */
const sessionsMax = 900;

/**
 * Starts one durable PostgreSQL in a temporary folder: the embedded one, fsync and synchronous
 * commit on, with the settings that Onhand gives it.
 * @param parent where the folder goes; not a file system in memory, on which fsync costs nothing
 */
export async function startRig(parent = os.tmpdir()): Promise<Rig> {
  const folder = realpathSync(mkdtempSync(path.join(parent, 'onhand-bench-')));
  // PostgreSQL may run as another user, who only has to pass through.
  chmodSync(folder, 0o711);
  const dataDir = path.join(folder, 'data');
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: () => {},
    connectionsMax: sessionsMax,
  });
  const stops: (() => Promise<unknown>)[] = [postgres.stop];
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 });
  pool.on('error', () => {});
  const [self] = (await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows;
  return {
    folder,
    postmasterPid: await parentOf(self?.pid ?? 0),
    startRedis: async () => {
      const server = await startOneRedis();
      stops.push(server.stop);
      return server;
    },
    createDatabase: async (name) => {
      await pool.query(`CREATE DATABASE bench_${name}`);
      const url = new URL(postgres.url);
      url.pathname = `/bench_${name}`;
      return url.href;
    },
    query: async <Row extends pg.QueryResultRow>(sql: string) => (await pool.query<Row>(sql)).rows,
    stop: async () => {
      await pool.end();
      for (const stop of stops.toReversed()) await stop();
      removeData(dataDir);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The database folder is a link where its user cannot enter the data directory. */
function removeData(dataDir: string): void {
  const database = path.join(dataDir, 'postgres');
  if (existsSync(database)) rmSync(realpathSync(database), { recursive: true, force: true });
}

async function startOneRedis(): Promise<RedisServer & { stop(): Promise<string> }> {
  const command = findRedisServer();
  if (command === undefined) throw new Error('the benchmarks need redis-server on PATH');
  const server = await startRedis(command, makeRedisDir());
  const client = createClient({ url: server.url });
  await client.connect();
  const info = await client.info('server');
  client.destroy();
  const pid = Number(/process_id:(\d+)/.exec(info)?.[1]);
  return { url: server.url, pid, stop: server.stop };
}

async function parentOf(pid: number): Promise<number> {
  const found = (await readProcesses()).find((each) => each.pid === pid);
  if (found === undefined) throw new Error(`no process ${pid}`);
  return found.parent;
}
