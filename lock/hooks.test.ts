import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createLocks,
  type DriverFactory,
  LockTimeout,
  memoryDriver,
  openTelemetryHooks,
} from './index.ts';

test('hooks tell of grants, refusals, extensions, releases, losses and force', async () => {
  const seen: string[] = [];
  const note =
    (name: string) =>
    ({ keys }: { keys: readonly string[] }) =>
      seen.push(`${name} ${keys}`);
  const locks = createLocks({
    driver: memoryDriver(),
    hooks: {
      acquired: note('acquired'),
      refused: note('refused'),
      extended: note('extended'),
      released: note('released'),
      lost: note('lost'),
      forced: ({ keys, reason, holders }) =>
        seen.push(`forced ${keys} ${reason} ${holders.length}`),
    },
  });
  const one = await locks.acquire(['a', 'b']);
  await assert.rejects(locks.acquire(['a'], { waitMs: 0 }), LockTimeout);
  await one.extend();
  await one.release();
  const two = await locks.acquire(['c']);
  await locks.forceRelease('c', { reason: 'stuck' });
  await assert.rejects(two.extend());
  await two.release();
  assert.deepEqual(seen, [
    'acquired a,b',
    'refused a',
    'extended a,b',
    'released a,b',
    'acquired c',
    'forced c stuck 1',
    'lost c',
  ]);
});

test('a hook that throws costs nobody a lock', async () => {
  const acquired = () => {
    throw new Error('broken meter');
  };
  const locks = createLocks({ driver: memoryDriver(), hooks: { acquired } });
  await (await locks.acquire(['k'])).release();
});

test('a hook that rejects ends no process', async () => {
  const rejected: unknown[] = [];
  const note = (reason: unknown) => rejected.push(reason);
  process.on('unhandledRejection', note);
  const acquired = async () => {
    throw new Error('broken meter');
  };
  const locks = createLocks({ driver: memoryDriver(), hooks: { acquired } });
  await (await locks.acquire(['k'])).release();
  await new Promise(setImmediate);
  process.off('unhandledRejection', note);
  assert.deepEqual(rejected, []);
});

test('a lease that is released while it is being extended is not lost', async () => {
  const memory = memoryDriver();
  const late = Promise.withResolvers<void>();
  const seen: string[] = [];
  const driver: DriverFactory = (context) => {
    const made = memory(context);
    const extend = made.extend.bind(made);
    // As through a pool: the release takes another connection and is first.
    made.extend = async (...parameters) => {
      await late.promise;
      return extend(...parameters);
    };
    return made;
  };
  const hooks = { released: () => seen.push('released'), lost: () => seen.push('lost') };
  const locks = createLocks({ driver, hooks });
  const lease = await locks.acquire(['k']);
  const extending = assert.rejects(lease.extend(), /was released/);
  await lease.release();
  late.resolve();
  await extending;
  assert.equal(lease.state, 'released');
  assert.equal(lease.signal.aborted, false);
  assert.deepEqual(seen, ['released']);
});

test('OpenTelemetry gets waits, holds and failures by mode and code', async () => {
  const seen: string[] = [];
  const instrument = (name: string) => {
    const note = (_value: number, attributes: Record<string, string>) =>
      seen.push(`${name} ${Object.values(attributes)}`);
    return { record: note, add: note };
  };
  const meter = { createHistogram: instrument, createCounter: instrument };
  const locks = createLocks({ driver: memoryDriver(), hooks: openTelemetryHooks(meter) });
  const lease = await locks.acquire(['k'], { mode: 'shared' });
  await assert.rejects(locks.acquire(['k'], { waitMs: 0 }), LockTimeout);
  await lease.release();
  assert.deepEqual(seen, [
    'lock.wait shared',
    'lock.failures exclusive,lock-timeout',
    'lock.hold shared',
  ]);
});
