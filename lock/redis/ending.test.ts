import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { redisOfFile } from '../fixtures/redisOfFile.ts';
import { until } from '../fixtures/topology.ts';
import { waitersOf } from '../fixtures/waiters.ts';
import { createLocks, type RedisClient, redisDriver } from '../index.ts';

const redis = redisOfFile();

/** As many as an emitter takes without a warning of a leak, and some. */
const many = 14;

interface Opened {
  readonly client: RedisClient & { listenerCount(event: 'end'): number };
  end(): void;
}

const libraries: Record<string, () => Promise<Opened>> = {
  'node-redis': async () => {
    const client = createClient({ url: redis.server.url });
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  ioredis: async () => {
    const client = new Redis(redis.server.port);
    return { client, end: () => client.disconnect() };
  },
};

for (const [name, open] of Object.entries(libraries)) {
  test(`many locks over one ${name} client add one listener, and end with it`, async () => {
    const { client, end } = await open();
    const before = client.listenerCount('end');
    const other = createLocks({ driver: redisDriver(redis.client), prefix: name });
    const held = await other.acquire(['k'], { leaseMs: 60_000 });
    const all = Array.from({ length: many }, () =>
      createLocks({ driver: redisDriver(client), prefix: name }),
    );
    const waits = all.map((locks) => locks.acquire(['k'], { waitMs: 30_000 }));
    await waitersOf(other, 'k', many);
    assert.equal(await channels(name), many);
    assert.ok(client.listenerCount('end') <= before + 1);

    const [first, ...rest] = all;
    const refused = assert.rejects(waits[0] ?? Promise.resolve());
    await first?.close();
    await refused;
    await until(async () => (await channels(name)) === many - 1);

    const failed = waits.slice(1).map((wait) => assert.rejects(wait));
    end();
    await until(async () => (await channels(name)) === 0);
    await Promise.all(rest.map((locks) => locks.close()));
    await Promise.all(failed);
    await held.release();
  });
}

async function channels(prefix: string): Promise<number> {
  const command = ['PUBSUB', 'SHARDCHANNELS', `${prefix}:*`];
  return ((await redis.client.sendCommand(command)) as string[]).length;
}
