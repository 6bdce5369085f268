import type { RedisConnection } from './connection.ts';
import { type IoredisClient, ioredisConnection, isIoredis } from './ioredis.ts';
import { type NodeRedisClient, nodeRedisConnection } from './node-redis.ts';

/**
 * A client of node-redis (`createClient`, `createCluster`, `createSentinel`) or of ioredis
 * (`Redis`, `Cluster`).
 */
export type RedisClient = NodeRedisClient | IoredisClient;

/**
 * Finds the adapter for a client.
 * @throws TypeError for a client that adds its own prefix, which would separate a lock from its
 *   queue, or that is of no known library
 */
export function connect(client: RedisClient): RedisConnection {
  if (isIoredis(client)) return ioredisConnection(client);
  if (typeof client?.sendCommand === 'function') return nodeRedisConnection(client);
  throw new TypeError('redisDriver takes a client of the package redis or ioredis');
}
