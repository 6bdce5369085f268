import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { redisOfFile } from './fixtures/redisOfFile.ts';
import { until } from './fixtures/topology.ts';
import { waitersOf } from './fixtures/waiters.ts';
import {
  createLocks,
  type DriverFactory,
  LockLost,
  LockUnavailable,
  redisDriver,
} from './index.ts';

const redis = redisOfFile();

test('using keeps the result of its routine when the release fails', async () => {
  const lone = createClient({ url: redis.server.url, socket: { reconnectStrategy: false } });
  lone.on('error', () => {});
  await lone.connect();
  const locks = createLocks({ driver: redisDriver(lone), prefix: 'kept' });
  const result = await locks.using(['k'], { leaseMs: 5_000 }, () => {
    lone.destroy();
    return 'a finished result';
  });
  assert.equal(result, 'a finished result');
});

test('an extension that gets no answer is tried again while the lease lasts', async () => {
  let extensions = 0;
  const extended = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const driver: DriverFactory = (context) => {
    const made = redisDriver(redis.client)(context);
    const extend = made.extend.bind(made);
    made.extend = (...parameters) => {
      asked.resolve();
      return extend(...parameters);
    };
    return made;
  };
  const hooks = {
    extended() {
      extensions++;
      extended.resolve();
    },
  };
  const locks = createLocks({
    driver,
    prefix: 'paused',
    commandTimeoutMs: 100,
    hooks,
  });
  await (await locks.acquire(['k'])).release();
  await locks.using(['k'], { leaseMs: 3_000 }, async (lease) => {
    redis.server.process.kill('SIGSTOP');
    await asked.promise;
    // It was asked later, so the extension has failed when this has.
    await assert.rejects(locks.inspect('k'), LockUnavailable);
    assert.equal(extensions, 0);
    redis.server.process.kill('SIGCONT');
    await extended.promise;
    lease.assertHeld();
  });
});

test('a routine that hangs loses its lease after holdMaxMs', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'hang' });
  const started = performance.now();
  const run = locks.using(['k'], { leaseMs: 100, holdMaxMs: 150 }, (lease) =>
    once(lease.signal, 'abort'),
  );
  await assert.rejects(run, LockLost);
  assert.ok(performance.now() - started >= 150);
});

test('a routine that fails while its lease is lost is told as the cause', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'cause' });
  const fault = new Error('routine');
  const run = locks.using(['k'], { leaseMs: 1_000, holdMaxMs: 1 }, async (lease) => {
    await once(lease.signal, 'abort');
    throw fault;
  });
  await assert.rejects(run, (error: unknown) => {
    assert.ok(error instanceof LockLost);
    assert.equal(error.cause, fault);
    return true;
  });
});

test('a waiter that was killed is passed over at once', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'killed' });
  const held = await locks.acquire(['k']);
  const file = fileURLToPath(new URL('./fixtures/waiter.ts', import.meta.url));
  const child = spawn(process.execPath, [file, `${redis.server.port}`, 'killed', 'k'], {
    stdio: 'inherit',
  });
  await waitersOf(locks, 'k', 1);
  const waiting = locks.acquire(['k'], { waitMs: 30_000 });
  await waitersOf(locks, 'k', 2);
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  await until(async () => (await channels()) === 1);
  const started = performance.now();
  await held.release();
  const next = await waiting;
  // Far less than the 5 s after which a silent waiter counts as dead, and than the safety poll.
  assert.ok(performance.now() - started < 500);
  await next.release();
  await locks.close();
});

async function channels(): Promise<number> {
  const names = (await redis.client.sendCommand([
    'PUBSUB',
    'SHARDCHANNELS',
    'killed:*',
  ])) as string[];
  return names.length;
}

test('waiters of one process pass a grant on among themselves without asking Redis', async () => {
  const locks = createLocks({ driver: redisDriver(redis.client), prefix: 'local' });
  const held = await locks.acquire(['k']);
  const turns: bigint[] = [];
  const waits = Array.from({ length: 30 }, async () => {
    const lease = await locks.acquire(['k'], { waitMs: 30_000 });
    turns.push(lease.fencingToken);
    await lease.release();
  });
  await waitersOf(locks, 'k', 1);
  await held.release();
  await Promise.all(waits);
  assert.equal(new Set(turns.map((token) => token / 64n)).size <= 3, true, 'few grants for 30');
  assert.deepEqual(
    turns,
    turns.toSorted((a, b) => (a < b ? -1 : 1)),
  );
  await locks.close();
});

test('a process with many waiters leaves others their turn', async () => {
  const busy = createLocks({ driver: redisDriver(redis.client), prefix: 'turn' });
  const other = createLocks({ driver: redisDriver(redis.client), prefix: 'turn' });
  let running = true;
  let turns = 0;
  const loops = Array.from({ length: 20 }, async () => {
    while (running) {
      const lease = await busy.acquire(['k'], { waitMs: 30_000 });
      turns++;
      await lease.release();
    }
  });
  for (let i = 0; i < 5; i++) {
    const before = turns;
    await (await other.acquire(['k'], { waitMs: 30_000 })).release();
    assert.ok(turns - before < 20 * 64, `${turns - before} turns of the busy process in between`);
  }
  running = false;
  await Promise.all(loops);
  await Promise.all([busy.close(), other.close()]);
});
