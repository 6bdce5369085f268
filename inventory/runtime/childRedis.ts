import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Guarded, startGuarded } from './guardian.ts';
import { reasonOf, StartError } from './startError.ts';
import { temporaryFolder } from './temporaryFolder.ts';

export interface ChildRedis {
  /** `unix://…`, as node-redis takes it. */
  url: string;
  /** Waits for the end; safe to call twice. */
  stop(): Promise<void>;
}

/** Redis holds nothing to save, so it has no reason to take longer. */
const PATIENCE_SECONDS = 3;

/** Bound on the start of an empty Redis, and the pause between looks at its socket. */
const READY_WAIT_MS = 10_000;
const READY_POLL_MS = 10;

/** Pause before a Redis that ended by itself is started again; it doubles while that fails. */
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 30_000;

/** The Redis or Valkey server on PATH, or undefined. */
export function findRedisServer(searchPath = process.env.PATH ?? ''): string | undefined {
  const folders = searchPath.split(path.delimiter).filter(path.isAbsolute);
  const names = ['redis-server', 'valkey-server'];
  return folders.flatMap((dir) => names.map((name) => path.join(dir, name))).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs the Redis that is installed here as a child, for claims and locks.
 *
 * It listens on a unix socket in a folder that only we can enter, and on no port; it ends with this
 * process however that ends. It is empty at every start: claims and locks are leases, and
 * PostgreSQL holds everything that must survive. Should it end by itself, it is started again at
 * the same address.
 * @returns undefined when neither Redis nor Valkey is on PATH
 * @throws StartError when it is there and does not start
 */
export async function startChildRedis(options: {
  /** Takes one line about what happens. */
  log: (line: string) => void;
  /** Takes one line about what should not have happened. */
  warn: (line: string) => void;
  /** Where to look, default the PATH of this process. */
  searchPath?: string;
}): Promise<ChildRedis | undefined> {
  const command = findRedisServer(options.searchPath);
  if (command === undefined) return undefined;
  const privateDir = makeRedisDir();
  const server = await startRedis(command, privateDir);
  options.log(`${path.basename(command)} runs as a child`);
  const restart = () => {
    // Gone with the server. Another's folder of that name is an error, and stays one.
    mkdirSync(privateDir, { mode: 0o700 });
    return startRedis(command, privateDir);
  };
  const stopping = new AbortController();
  const ended = keepRunning(server, restart, options.warn, stopping.signal);
  const stop = () => {
    stopping.abort();
    return ended;
  };
  return { url: server.url, stop };
}

async function keepRunning(
  first: Guarded,
  restart: () => Promise<Guarded>,
  warn: (line: string) => void,
  stopping: AbortSignal,
): Promise<void> {
  for (let server: Guarded | undefined = first; server !== undefined; ) {
    const { stop, exited }: Guarded = server;
    const onStop = () => void stop();
    stopping.addEventListener('abort', onStop, { once: true });
    if (stopping.aborted) onStop();
    const how = await exited;
    stopping.removeEventListener('abort', onStop);
    if (stopping.aborted) return;
    warn(`Redis ended by itself (${how}): starting it again`);
    server = await startAgain(restart, warn, stopping);
  }
}

/** @returns undefined when it is stopped before */
async function startAgain(
  restart: () => Promise<Guarded>,
  warn: (line: string) => void,
  stopping: AbortSignal,
): Promise<Guarded | undefined> {
  for (let pauseMs = RESTART_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, RESTART_MS_MAX)) {
    await setTimeout(pauseMs, undefined, { signal: stopping }).catch(() => {});
    if (stopping.aborted) return undefined;
    try {
      return await restart();
    } catch (error) {
      warn(`Redis cannot be started again: ${reasonOf(error)}`);
    }
  }
}

/**
 * A private folder with a path that leaves room for a socket's name: 104 bytes hold it all.
 * @throws StartError when there cannot be one
 */
export function makeRedisDir(): string {
  const folder = temporaryFolder();
  const parent = Buffer.byteLength(folder) <= 70 ? folder : '/tmp';
  try {
    return mkdtempSync(path.join(parent, 'onhand-'));
  } catch (error) {
    throw new StartError(`Redis needs a folder in ${parent}: ${reasonOf(error)}`);
  }
}

/** Starts one empty server in a private folder, which goes when the server does. */
export async function startRedis(
  command: string,
  privateDir: string,
): Promise<Guarded & { url: string }> {
  const socket = path.join(privateDir, 'redis.sock');
  try {
    const server = await startAccepting(command, privateDir, socket);
    return Object.assign(server, { url: `unix://${socket}` });
  } catch (error) {
    rmSync(privateDir, { recursive: true, force: true });
    throw new StartError(`${command} did not start: ${reasonOf(error)}`);
  }
}

async function startAccepting(
  command: string,
  privateDir: string,
  socket: string,
): Promise<Guarded> {
  const server = await startGuarded({
    command,
    args: redisArguments(privateDir, socket),
    stopSignal: 'TERM',
    forceSignal: 'KILL',
    patienceSeconds: PATIENCE_SECONDS,
    privateDir,
    output: 'ignore',
  });
  const deadline = Date.now() + READY_WAIT_MS;
  while (server.running && !(await isAccepting(socket))) {
    if (Date.now() > deadline) void server.stop();
    await Promise.race([setTimeout(READY_POLL_MS), server.exited]);
  }
  if (!server.running) throw new Error(`it ended with ${await server.exited}`);
  return server;
}

function redisArguments(dir: string, socket: string): string[] {
  const settings = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    // Leases are worth nothing after a restart, and a fork to save them would cost memory.
    save: '',
    appendonly: 'no',
    dir,
    // Claims expire by themselves; far above what the settings allow to be in flight.
    maxmemory: '256mb',
    // Under pressure the leases nearest their end go first; PostgreSQL decides without them.
    'maxmemory-policy': 'volatile-ttl',
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

function isAccepting(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const connection = net.connect(socket);
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
    connection.once('connect', () => connection.destroy());
  });
}
