import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from 'ioredis';
import { createSentinel } from 'redis';
import { command, type ReplicatedTopology, startReplicated, until } from './fixtures/topology.ts';
import { waitersOf } from './fixtures/waiters.ts';
import {
  createLocks,
  type Lease,
  LockLost,
  type Locks,
  LockTimeout,
  LockUnavailable,
  redisDriver,
} from './index.ts';

/** Longer than the tests: whatever ends a lease here, it is not time. */
const leaseMs = 120_000;

let topology: ReplicatedTopology;
let client: ReturnType<typeof createSentinel>;
let io: Redis;

before(async () => {
  topology = await startReplicated();
  const sentinels = topology.ports.map((port) => ({ host: '127.0.0.1', port }));
  client = createSentinel({ name: 'locks', sentinelRootNodes: sentinels });
  client.on('error', () => {});
  await client.connect();
  io = new Redis({ sentinels, name: 'locks' });
  io.on('error', () => {});
});

after(async () => {
  await client.destroy();
  io.disconnect();
  await topology.stop();
});

test('a failover keeps the leases that the replica had, and tokens go on rising', async (t) => {
  const parties = [
    await join('node-redis', () => redisDriver(client)),
    await join('ioredis', () => redisDriver(io)),
  ];
  topology.link.partition(true);
  const leases = await Promise.all(
    parties.map(({ locks }) => locks.acquire(['lost'], { leaseMs })),
  );
  topology.master.process.kill('SIGKILL');
  for (const [at, party] of parties.entries()) {
    const lost = leases[at];
    assert.ok(lost);
    await t.test(party.name, () => afterwards(party, lost));
    await Promise.all([party.locks.close(), party.rival.close()]);
  }
});

interface Party {
  readonly name: string;
  readonly locks: Locks;
  /** Another process, which was woken before and so has a subscription. */
  readonly rival: Locks;
  /** A lease of which the replica knows. */
  readonly kept: Lease;
}

async function join(name: string, driver: () => ReturnType<typeof redisDriver>): Promise<Party> {
  const [locks, rival] = [0, 1].map(() => createLocks({ driver: driver(), prefix: name }));
  assert.ok(locks && rival);
  const first = await locks.acquire(['kept'], { leaseMs });
  const waiting = rival.acquire(['kept'], { leaseMs, waitMs: 30_000 });
  await waitersOf(locks, 'kept', 1);
  await first.release();
  await (await waiting).release();
  const kept = await locks.acquire(['kept'], { leaseMs });
  const replicated = async () => {
    const value = await command(topology.replica, ['GET', `${name}:kept`]);
    return `${value}`.includes(` ${kept.fencingToken / 64n} `);
  };
  await until(replicated);
  return { name, locks, rival, kept };
}

async function afterwards({ name, locks, rival, kept }: Party, lost: Lease): Promise<void> {
  // Redis lost this one, so two believe to hold it until the first asks; the fence tells them
  // apart.
  const again = await untilAvailable(() => rival.acquire(['lost'], { leaseMs, waitMs: 0 }));
  assert.ok(again.fencingToken > lost.fencingToken);
  await assert.rejects(lost.extend(), LockLost);
  assert.equal(lost.state, 'lost');
  await lost.release();
  again.assertHeld();
  await again.extend();

  await assert.rejects(rival.acquire(['kept'], { leaseMs, waitMs: 0 }), LockTimeout);
  await kept.extend();
  const waiting = rival.acquire(['kept'], { leaseMs, waitMs: 60_000 });
  await waitersOf(locks, 'kept', 1);
  await until(async () => {
    const channels = await command(topology.replica, ['PUBSUB', 'SHARDCHANNELS', `${name}:*`]);
    return (channels as string[]).length > 0;
  });
  const releasedAt = performance.now();
  await kept.release();
  const next = await waiting;
  // Woken: far sooner than it would have asked by itself.
  assert.ok(performance.now() - releasedAt < 500);
  assert.ok(next.fencingToken > again.fencingToken);
  await Promise.all([again.release(), next.release()]);
}

/**
 * Repeats a call until the client has found the new master. An attempt whose reply was lost may
 * hold the key until it is given back.
 */
async function untilAvailable<T>(call: () => Promise<T>): Promise<T> {
  let answer: { readonly value: T } | undefined;
  await until(async () => {
    try {
      answer = { value: await call() };
    } catch (error) {
      if (!(error instanceof LockUnavailable || error instanceof LockTimeout)) throw error;
    }
    return answer !== undefined;
  });
  assert.ok(answer);
  return answer.value;
}
