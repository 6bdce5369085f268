import { after, before } from 'node:test';
import { Redis } from 'ioredis';
import { createSentinel } from 'redis';
import { conformance } from './fixtures/conformance.ts';
import { startSentinel, type Topology } from './fixtures/topology.ts';
import { redisDriver } from './index.ts';

let topology: Topology;
let client: ReturnType<typeof createSentinel>;
let io: Redis;

before(async () => {
  topology = await startSentinel();
  const sentinels = topology.ports.map((port) => ({ host: '127.0.0.1', port }));
  client = createSentinel({ name: 'locks', sentinelRootNodes: sentinels });
  await client.connect();
  io = new Redis({ sentinels, name: 'locks' });
});

after(async () => {
  await client.destroy();
  io.disconnect();
  await topology.stop();
});

conformance({ name: 'node-redis sentinel', driver: () => redisDriver(client) });
conformance({ name: 'ioredis sentinel', driver: () => redisDriver(io) });
