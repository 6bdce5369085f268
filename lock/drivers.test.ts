import { after, before } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { conformance } from './fixtures/conformance.ts';
import { type RedisServer, startRedis } from './fixtures/redis.ts';
import { memoryDriver, redisDriver } from './index.ts';

let server: RedisServer;
let client: ReturnType<typeof createClient>;
let io: Redis;

before(async () => {
  server = await startRedis();
  client = createClient({ url: server.url });
  await client.connect();
  io = new Redis(server.port);
});

after(async () => {
  client.destroy();
  io.disconnect();
  await server.stop();
});

const memory = memoryDriver();
conformance({ name: 'memory', driver: () => memory });
conformance({ name: 'node-redis', driver: () => redisDriver(client) });
conformance({ name: 'ioredis', driver: () => redisDriver(io) });
