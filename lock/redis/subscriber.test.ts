import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { redisOfFile } from '../fixtures/redisOfFile.ts';
import { until } from '../fixtures/topology.ts';
import { waitersOf } from '../fixtures/waiters.ts';
import {
  createLocks,
  type DriverFactory,
  type Locks,
  type RedisClient,
  redisDriver,
} from '../index.ts';

const redis = redisOfFile();

interface Opened {
  readonly client: RedisClient;
  end(): void;
}

/** Clients whose lost connections come back after so many ms; `undefined` = never. */
const libraries: Record<string, (retryMs?: number) => Promise<Opened>> = {
  'node-redis': async (retryMs) => {
    const socket = { reconnectStrategy: retryMs ?? (false as const) };
    const client = createClient({ url: redis.server.url, socket });
    client.on('error', () => {});
    await client.connect();
    return { client, end: () => client.destroy() };
  },
  ioredis: async (retryMs) => {
    const client = new Redis(redis.server.port, { retryStrategy: () => retryMs ?? null });
    client.on('error', () => {});
    return { client, end: () => client.disconnect() };
  },
};

for (const [name, open] of Object.entries(libraries)) {
  test(`a process whose ${name} connection for being woken is lost for good opens another`, async (t) => {
    const { client, end } = await open();
    t.after(end);
    const locks = createLocks({ driver: redisDriver(client), prefix: name });
    const other = createLocks({ driver: redisDriver(redis.client), prefix: name });
    await beWoken(locks, other);
    await killSubscribers(name);

    const held = await other.acquire(['k'], { leaseMs: 60_000 });
    const order: string[] = [];
    const turn = async (whose: Locks, label: string) => {
      const lease = await whose.acquire(['k'], { waitMs: 30_000 });
      order.push(label);
      await lease.release();
    };
    const turns = [turn(locks, 'first')];
    await waitersOf(other, 'k', 1);
    assert.equal(await channels(name), 1, 'it stands in the queue and can be told');
    turns.push(turn(other, 'second'));
    await waitersOf(other, 'k', 2);
    await held.release();
    await Promise.all(turns);
    assert.deepEqual(order, ['first', 'second']);
    await Promise.all([locks.close(), other.close()]);
    await until(async () => (await channels(name)) === 0);
  });

  test(`a process whose ${name} connection for being woken is lost asks until it is back`, async (t) => {
    const prefix = `${name}-blind`;
    const { client, end } = await open(20);
    t.after(end);
    const attempts = { count: 0 };
    const locks = createLocks({ driver: counted(redisDriver(client), attempts), prefix });
    const other = createLocks({ driver: redisDriver(redis.client), prefix });
    await beWoken(locks, other);
    const letAllIn = await letNobodyIn();
    t.after(letAllIn);
    await killSubscribers(prefix);

    const held = await other.acquire(['k'], { leaseMs: 60_000 });
    attempts.count = 0;
    const waiting = locks.acquire(['k'], { waitMs: 30_000 });
    await until(async () => attempts.count >= 5);
    assert.deepEqual((await other.inspect('k')).waiters, []);
    await letAllIn();
    await waitersOf(other, 'k', 1);
    await held.release();
    await (await waiting).release();
    await Promise.all([locks.close(), other.close()]);
  });

  test(`a driver of ${name} that was closed, or whose client was, listens no more`, async () => {
    const prefix = `${name}-closed`;
    const { client, end } = await open();
    const make = (its: string) =>
      redisDriver(client)({ prefix, client: its, aliveMs: 1_000, onGrant: () => {} });
    const [closed, left] = [make('closed'), make('left')];
    const listen = (driver: typeof closed) => driver.listen?.([`${prefix}:k`]);
    assert.equal(await listen(closed), true);
    await closed.close();
    // Also once its connection has told of its end, of which there is no sign.
    for (let i = 0; i < 5; i++) {
      assert.equal(await listen(closed), false);
      await until(async () => (await channels(prefix)) === 0);
    }
    assert.equal(await listen(left), true);
    end();
    await until(async () => (await channels(prefix)) === 0);
    assert.equal(await listen(left), false);
    assert.equal(await channels(prefix), 0);
    await left.close();
  });
}

/** Has the locks wait and be told of their grant. */
async function beWoken(locks: Locks, other: Locks): Promise<void> {
  const held = await other.acquire(['k'], { leaseMs: 60_000 });
  const waiting = locks.acquire(['k'], { waitMs: 30_000 });
  await waitersOf(other, 'k', 1);
  await held.release();
  await (await waiting).release();
}

async function killSubscribers(prefix: string): Promise<void> {
  assert.equal(await channels(prefix), 1);
  await redis.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
  await until(async () => (await channels(prefix)) === 0);
}

/** Has Redis refuse new connections. Returns what ends that. */
async function letNobodyIn(): Promise<() => Promise<unknown>> {
  const { maxclients = '' } = await redis.client.configGet('maxclients');
  await redis.client.configSet('maxclients', '1');
  return () => redis.client.configSet('maxclients', maxclients);
}

function counted(driver: DriverFactory, attempts: { count: number }): DriverFactory {
  return (context) => {
    const made = driver(context);
    const acquire = made.acquire.bind(made);
    made.acquire = (...parameters) => {
      attempts.count++;
      return acquire(...parameters);
    };
    return made;
  };
}

async function channels(prefix: string): Promise<number> {
  const command = ['PUBSUB', 'SHARDCHANNELS', `${prefix}:*`];
  return ((await redis.client.sendCommand(command)) as string[]).length;
}
