import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Target } from '../network/link.ts';
import { makePostgresFolder, type Place, run } from './place.ts';
import type { Undertaker } from './undertaker.ts';

/** Longest wait for a server to accept sessions, crash recovery and stray backends included. */
const readyWaitMs = 60_000;

/** Sessions of a server: few, so that they can be exhausted. 4 services take 6 each. */
export const connectionsMax = 60;

const settings: Record<string, string> = {
  listen_addresses: '',
  port: '5432',
  max_connections: String(connectionsMax),
  shared_buffers: '32MB',
  max_wal_size: '96MB',
  wal_keep_size: '48MB',
  max_wal_senders: '5',
  wal_sender_timeout: '5s',
  wal_receiver_timeout: '5s',
  wal_retrieve_retry_interval: '200ms',
  // Both protections that a refusal of the server must not hide behind.
  fsync: 'on',
  full_page_writes: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_min_messages: 'warning',
  cluster_name: 'onhand-faults',
};

/** One PostgreSQL on a Unix socket, to be killed and started again on the same data. */
export class PostgresServer {
  readonly name: string;
  /** The folder that holds `data`; its disk can be filled. */
  readonly disk: string;
  readonly data: string;
  readonly target: Target;
  readonly #place: Place;
  readonly #undertaker: Undertaker;
  readonly #sockets: string;
  readonly #log: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(name: string, place: Place, undertaker: Undertaker) {
    this.name = name;
    this.#place = place;
    this.#undertaker = undertaker;
    this.disk = makePostgresFolder(place, name);
    this.data = path.join(this.disk, 'data');
    this.#sockets = makePostgresFolder(place, `${name}-sockets`);
    this.#log = path.join(place.folder, `postgres-${name}.log`);
    this.target = { path: path.join(this.#sockets, '.s.PGSQL.5432') };
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** What it wrote over all its starts. */
  log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  async initialise(): Promise<void> {
    const args = [
      `--pgdata=${this.data}`,
      '--username=onhand',
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      '--data-checksums',
      '--no-sync',
      '--wal-segsize=4',
    ];
    await run(path.join(this.#place.bin, 'initdb'), args, this.#place.account);
  }

  /** Resolves when it accepts sessions. @throws when it ends instead */
  async start(extra: Record<string, string> = {}): Promise<void> {
    const deadline = performance.now() + readyWaitMs;
    while (!(await this.#startOnce(extra, deadline))) {
      // Backends that outlive a killed server hold its shared memory until they notice.
      const tail = this.log().slice(-4_000);
      if (performance.now() > deadline) throw new Error(`PostgreSQL does not start:\n${tail}`);
      await delay(100);
    }
  }

  async #startOnce(extra: Record<string, string>, deadline: number): Promise<boolean> {
    const all = { ...settings, unix_socket_directories: this.#sockets, ...extra };
    const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const log = openSync(this.#log, 'a');
    const child = spawn(path.join(this.#place.bin, 'postgres'), ['-D', this.data, ...flags], {
      ...this.#place.account,
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    this.#undertaker.process(child);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        if (this.#child === child) this.#child = undefined;
        resolve();
      });
    });
    while (this.running && performance.now() < deadline) {
      if (await this.#accepts()) return true;
      await Promise.race([delay(25), this.#exited]);
    }
    return false;
  }

  async #accepts(): Promise<boolean> {
    try {
      await this.query('SELECT 1');
      return true;
    } catch {
      return false;
    }
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** Runs one statement in the maintenance database as superuser, past all links. */
  async query<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
    return this.session(async (client) => (await client.query<Row>(sql, values)).rows);
  }

  async session<T>(use: (client: pg.Client) => Promise<T>, database = 'postgres'): Promise<T> {
    const client = new pg.Client({
      host: this.#sockets,
      port: 5432,
      user: 'onhand',
      database,
      connectionTimeoutMillis: 5_000,
    });
    client.on('error', () => {});
    await client.connect();
    try {
      return await use(client);
    } finally {
      await client.end().catch(() => {});
    }
  }
}
