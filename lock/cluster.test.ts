import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import { conformance } from './fixtures/conformance.ts';
import { type NetworkProxy, startProxy } from './fixtures/proxy.ts';
import { command, startCluster, type Topology, until } from './fixtures/topology.ts';
import { waitersOf } from './fixtures/waiters.ts';
import { createLocks, LockTimeout, LockUnavailable, redisDriver } from './index.ts';
import { slotOf, tagOfSlot } from './redis/slot.ts';

let cluster: Topology;
let client: ReturnType<typeof createCluster>;
let io: Cluster;

before(async () => {
  cluster = await startCluster();
  client = createCluster({ rootNodes: cluster.ports.map((port) => ({ socket: { port } })) });
  await client.connect();
  io = new Cluster(cluster.ports.map((port) => ({ host: '127.0.0.1', port })));
  await io.ping();
});

after(async () => {
  client.destroy();
  io.disconnect();
  await cluster.stop();
});

conformance({ name: 'node-redis cluster', driver: () => redisDriver(client) });
conformance({ name: 'ioredis cluster', driver: () => redisDriver(io) });

test('slots are those of the server, and a tag of each slot lies in it', async () => {
  for (const key of ['a', '{demo}:x', 'x{}y', '{', 'ü', '}{a}', 'a{b}{c}']) {
    const slot = await io.call('CLUSTER', 'KEYSLOT', key);
    assert.equal(slotOf(key), slot, key);
  }
  for (const slot of [0, 1, 8_191, 16_383]) assert.equal(slotOf(tagOfSlot(slot)), slot);
});

test('keys of many slots are taken or refused as one, with one token', async () => {
  const locks = createLocks({ driver: redisDriver(client), prefix: 'wide' });
  const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`);
  const narrow = await locks.acquire(['key-7']);
  await assert.rejects(locks.acquire(keys, { waitMs: 30 }), LockTimeout);
  for (const key of keys.filter((key) => key !== 'key-7')) {
    assert.equal((await locks.inspect(key)).mode, 'free', `${key} was given back`);
  }
  await narrow.release();
  // One slot's fence is an hour ahead, as if its server's clock were.
  const ahead = `wide:~{${tagOfSlot(slotOf('wide:key-3'))}}:fence`;
  await client.set(ahead, `${(Date.now() + 3_600_000) * 1_000}`);
  const wide = await locks.acquire(keys);
  assert.ok(wide.fencingToken > narrow.fencingToken);
  await wide.release();
  for (const key of keys) {
    const next = await locks.acquire([key]);
    assert.ok(next.fencingToken > wide.fencingToken, `the token of ${key} rises`);
    await next.release();
  }
  await locks.close();
});

test('two callers over the same slots in other orders both come through', async () => {
  const all = [redisDriver(client), redisDriver(io)].map((driver) =>
    createLocks({ driver, prefix: 'cross' }),
  );
  const loop = async (locks: (typeof all)[number], keys: string[]) => {
    for (let i = 0; i < 10; i++) await (await locks.acquire(keys, { waitMs: 30_000 })).release();
  };
  const [one, two] = all;
  assert.ok(one && two);
  await Promise.all([loop(one, ['a', 'b', 'c', 'd']), loop(two, ['d', 'c', 'b', 'a'])]);
  await Promise.all(all.map((locks) => locks.close()));
});

test('a process whose connections for being woken are lost for good opens others', async (t) => {
  const lone = createCluster({
    rootNodes: cluster.ports.map((port) => ({ socket: { port } })),
    defaults: { socket: { reconnectStrategy: false } },
  });
  lone.on('error', () => {});
  await lone.connect();
  t.after(() => lone.destroy());
  const prefix = 'woken';
  const locks = createLocks({ driver: redisDriver(lone), prefix });
  const other = createLocks({ driver: redisDriver(client), prefix });
  // Of one node, and so of one connection, which serves each by a channel of its own.
  const names = Array.from({ length: 20 }, (_, i) => `k${i}`);
  const keys = names.filter((name) => slotOf(`${prefix}:${name}`) < 8_192).slice(0, 2);
  const channels = async () => {
    const asked = ['PUBSUB', 'SHARDCHANNELS', `${prefix}:*`];
    const all = await Promise.all(cluster.ports.map((port) => command({ port }, asked)));
    return all.flat().length;
  };
  const wake = async (key: string) => {
    const held = await other.acquire([key], { leaseMs: 60_000 });
    const waiting = locks.acquire([key], { leaseMs: 60_000, waitMs: 30_000 });
    await waitersOf(other, key, 1);
    const listening = await channels();
    await held.release();
    await (await waiting).release();
    return listening;
  };
  assert.deepEqual([await wake(keys[0] ?? ''), await wake(keys[1] ?? '')], [1, 2]);
  for (const port of cluster.ports) await command({ port }, ['CLIENT', 'KILL', 'TYPE', 'pubsub']);
  await until(async () => (await channels()) === 0);
  assert.deepEqual([await wake(keys[0] ?? ''), await wake(keys[1] ?? '')], [1, 2]);
  await Promise.all([locks.close(), other.close()]);
  assert.equal(await channels(), 0);
});

test('a named owner that fails part way over several slots gives back all it took', async (t) => {
  const proxies: NetworkProxy[] = [];
  for (const port of cluster.ports) {
    const proxy = await startProxy(port);
    t.after(() => proxy.stop());
    proxies.push(proxy);
  }
  const [, far] = proxies;
  assert.ok(far);
  const nodeAddressMap = Object.fromEntries(
    cluster.ports.map((port, at) => [
      `127.0.0.1:${port}`,
      { host: '127.0.0.1', port: proxies[at]?.port ?? 0 },
    ]),
  );
  const distant = createCluster({
    rootNodes: proxies.map(({ port }) => ({ socket: { port } })),
    nodeAddressMap,
  });
  distant.on('error', () => {});
  await distant.connect();
  t.after(() => distant.destroy());
  const near = createLocks({ driver: redisDriver(client), prefix: 'part' });
  const locks = createLocks({
    driver: redisDriver(distant),
    prefix: 'part',
    commandTimeoutMs: 500,
  });
  // One key a node: slots below 8,192 are the first one's, and are taken first.
  const names = Array.from({ length: 20 }, (_, i) => `k${i}`);
  const first = names.find((name) => slotOf(`part:${name}`) < 8_192);
  const second = names.find((name) => slotOf(`part:${name}`) >= 8_192);
  assert.ok(first && second);
  await (await locks.acquire([first, second])).release();
  far.swallowReplies(true);
  const settings = { owner: 'me', leaseMs: 60_000 };
  const refused = assert.rejects(locks.acquire([first, second], settings), LockUnavailable);
  await until(async () => (await near.inspect(second)).mode === 'exclusive');
  await refused;
  far.swallowReplies(false);
  far.cut();
  for (const name of [first, second]) {
    await until(async () => (await near.inspect(name)).mode === 'free');
  }
  await Promise.all([locks.close(), near.close()]);
});
