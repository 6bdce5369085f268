import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { createLocks, redisDriver } from '../../lock/index.ts';

/** A lock library under measurement. */
export interface Subject {
  /** Takes the keys, waiting as long as it takes; answers how to give them back. */
  take(keys: string[]): Promise<() => Promise<unknown>>;
  close(): Promise<unknown>;
}

/** Ours, over each client library. */
export const ours = ['onhand (redis)', 'onhand (ioredis)'] as const;
/** The peers, by the packages that are installed for the run only. */
export const peers = ['redlock', 'redis-semaphore', 'redlock-universal', 'medusa'] as const;
/** Installed into a temporary folder. */
export const peerPackages = [
  'redlock@5.0.0-beta.2',
  'redis-semaphore@5.8.0',
  'redlock-universal@0.8.5',
  '@medusajs/locking-redis@2.21.2',
  '@medusajs/framework@2.21.2',
  'ioredis@5',
];

const leaseMs = 30_000;
/** Between two attempts of those that poll: the quickest of their defaults (10 ms), for all. */
const pollMs = 10;

/** @param folder where {@link peerPackages} are installed */
export async function openSubject(name: string, port: number, folder: string): Promise<Subject> {
  switch (name) {
    case 'onhand (redis)':
      return onhandRedis(port);
    case 'onhand (ioredis)':
      return onhandIoredis(port);
    default:
      return openPeer(name, port, createRequire(pathToFileURL(`${folder}/package.json`)));
  }
}

async function onhandRedis(port: number): Promise<Subject> {
  const client = createClient({ url: `redis://127.0.0.1:${port}` });
  await client.connect();
  const locks = createLocks({ driver: redisDriver(client) });
  return {
    take: (keys) => take(locks, keys),
    close: async () => {
      await locks.close();
      client.destroy();
    },
  };
}

async function onhandIoredis(port: number): Promise<Subject> {
  const client = new Redis(port);
  const locks = createLocks({ driver: redisDriver(client) });
  return {
    take: (keys) => take(locks, keys),
    close: async () => {
      await locks.close();
      client.disconnect();
    },
  };
}

async function take(locks: ReturnType<typeof createLocks>, keys: string[]) {
  const lease = await locks.acquire(keys, { leaseMs, waitMs: 60_000 });
  return () => lease.release();
}

function openPeer(name: string, port: number, load: NodeRequire): Subject {
  const { Redis: PeerRedis } = load('ioredis');
  const client = new PeerRedis(port);
  const close = async () => client.disconnect();
  switch (name) {
    case 'redlock':
      return { take: redlock(load, client), close };
    case 'redis-semaphore':
      return { take: semaphore(load, client), close };
    case 'redlock-universal':
      return { take: universal(load, client), close };
    case 'medusa':
      return { take: medusa(load, client), close };
    default:
      throw new Error(`no subject ${name}`);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the peers are not installed where types are checked
type Loaded = any;

function redlock(load: NodeRequire, client: Loaded): Subject['take'] {
  const { default: Redlock } = load('redlock');
  const settings = { retryCount: 1_000_000, retryDelay: pollMs, retryJitter: pollMs / 2 };
  const locks = new Redlock([client], settings);
  return async (keys) => {
    const lock = await locks.acquire(keys, leaseMs);
    return () => lock.release();
  };
}

/** One key a lock; several are taken one after the other. */
function semaphore(load: NodeRequire, client: Loaded): Subject['take'] {
  const { Mutex } = load('redis-semaphore');
  const settings = {
    lockTimeout: leaseMs,
    acquireTimeout: 60_000,
    retryInterval: pollMs,
    refreshInterval: 0,
  };
  return async (keys) => {
    const locks = keys.map((key) => new Mutex(client, key, settings));
    for (const lock of locks) await lock.acquire();
    return () => Promise.all(locks.map((lock) => lock.release()));
  };
}

function universal(load: NodeRequire, client: Loaded): Subject['take'] {
  const { createLock, IoredisAdapter, LockManager } = load('redlock-universal');
  const adapter = new IoredisAdapter(client);
  const settings = { ttl: leaseMs, retryAttempts: 1_000_000, retryDelay: pollMs };
  const manager = new LockManager({ nodes: [adapter], defaultTTL: leaseMs });
  return async (keys) => {
    if (keys.length > 1) {
      const handles = await manager.acquireBatch(keys, settings);
      return () => manager.releaseBatch(handles);
    }
    const lock = createLock({ adapter, key: keys[0], ...settings });
    const handle = await lock.acquire();
    return () => lock.release(handle);
  };
}

function medusa(load: NodeRequire, client: Loaded): Subject['take'] {
  const { RedisLockingProvider } = load('@medusajs/locking-redis/dist/services/redis-lock.js');
  const settings = {
    waitLockingTimeout: 60,
    defaultRetryInterval: pollMs,
    maximumRetryInterval: 2 * pollMs,
  };
  const locks = new RedisLockingProvider({ redisClient: client }, settings);
  let serial = 0;
  return async (keys) => {
    const ownerId = `${process.pid}:${++serial}`;
    await locks.acquire(keys, { ownerId, expire: leaseMs / 1_000, awaitQueue: true });
    return () => locks.release(keys, { ownerId });
  };
}
