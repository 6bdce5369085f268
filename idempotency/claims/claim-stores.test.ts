import { after, before, describe } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import { Cluster, Redis } from 'ioredis';
import { createCluster } from 'redis';
import { postgresClaims } from '../postgres/claims.ts';
import { migrate } from '../postgres/migrate.ts';
import { redisClaims } from '../redis/claims.ts';
import { claimStoreSuite } from '../testing/claim-store-suite.ts';
import { RedisCluster } from '../testing/redis-cluster.ts';
import { RedisServer } from '../testing/redis-server.ts';
import type { ClaimStore } from './claim-store.ts';
import { memoryClaims } from './memory.ts';

type Pair = [ClaimStore, ClaimStore];
const cleanups: (() => unknown)[] = [];
const options = { commandTimeoutMs: 5_000 };
let nodeRedis: Pair;
let ioRedis: Pair;
let nodeRedisCluster: Pair;
let ioRedisCluster: Pair;
let postgres: Pair;

async function oneServer() {
  const server = await RedisServer.start();
  cleanups.push(() => server.stop());
  const clients = [await server.client(), await server.client()] as const;
  cleanups.push(() => clients.map((client) => client.destroy()));
  nodeRedis = [redisClaims(clients[0], options), redisClaims(clients[1], options)];
  const others = [new Redis(server.socket), new Redis(server.socket)] as const;
  cleanups.push(() => others.map((client) => client.disconnect()));
  await Promise.all(others.map((client) => client.ping()));
  const prefixed = { ...options, prefix: 'io' };
  ioRedis = [redisClaims(others[0], prefixed), redisClaims(others[1], prefixed)];
}

async function cluster() {
  const servers = await RedisCluster.start();
  cleanups.push(() => servers.stop());
  const nodes = servers.ports.map((port) => ({ host: '127.0.0.1', port }));
  const rootNodes = nodes.map((socket) => ({ socket }));
  const clients = [createCluster({ rootNodes }), createCluster({ rootNodes })] as const;
  await Promise.all(clients.map((client) => client.connect()));
  cleanups.push(() => clients.map((client) => client.destroy()));
  nodeRedisCluster = [redisClaims(clients[0], options), redisClaims(clients[1], options)];
  const others = [new Cluster(nodes), new Cluster(nodes)] as const;
  cleanups.push(() => others.map((client) => client.disconnect()));
  await Promise.all(others.map((client) => client.ping()));
  const prefixed = { ...options, prefix: 'io' };
  ioRedisCluster = [redisClaims(others[0], prefixed), redisClaims(others[1], prefixed)];
}

async function database() {
  const { url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) });
  const pool = openTestPool(
    { after: (cleanup) => cleanups.push(cleanup) },
    { connectionString: url, max: 4 },
  );
  const query = (sql: string, params: unknown[]) => pool.query(sql, params);
  await migrate(query, { claims: true });
  postgres = [postgresClaims(query), postgresClaims(query)];
}

describe('claim stores', () => {
  before(async () => {
    await Promise.all([oneServer(), cluster(), database()]);
  });
  after(async () => {
    for (const pair of [nodeRedis, ioRedis, nodeRedisCluster, ioRedisCluster, postgres]) {
      for (const store of pair ?? []) await store.close();
    }
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  const memory = memoryClaims();
  claimStoreSuite('memory', () => [memory, memory]);
  claimStoreSuite('node-redis', () => nodeRedis);
  claimStoreSuite('ioredis', () => ioRedis);
  claimStoreSuite('node-redis on a cluster', () => nodeRedisCluster);
  claimStoreSuite('ioredis on a cluster', () => ioRedisCluster);
  claimStoreSuite('PostgreSQL', () => postgres, { wakes: false });
});
