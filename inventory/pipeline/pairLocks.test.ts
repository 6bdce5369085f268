import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createLocks, memoryDriver } from '@onhand/lock';
import {
  fateOf,
  holdMovements,
  pipelineRig,
  quantities,
  receipt,
  waitsFor,
} from '../testing/pipelineRig.ts';
import { pairResource } from './lockResource.ts';
import { PairLocks } from './pairLocks.ts';

async function lockedRig(t: TestContext, leaseMs: number) {
  const locks = createLocks({ driver: memoryDriver() });
  t.after(() => locks.close());
  const missed: unknown[] = [];
  const held: number[] = [];
  const pairLocks = new PairLocks({
    locks,
    isUsable: () => true,
    leaseMs,
    waitMs: 100,
    observer: {
      lockMissed: (error) => void missed.push(error),
      lockAcquired: (waitedMs) => void held.push(waitedMs),
    },
  });
  return { locks, missed, held, ...(await pipelineRig(t, { locks: pairLocks })) };
}

test('a batch holds its pairs while it commits and gives them back', async (t) => {
  const rig = await lockedRig(t, 60_000);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k1'))), '201');
  assert.equal(rig.held.length, 1);
  // Free again: another owner gets it without a wait.
  const lease = await rig.locks.acquire([pairResource('demo', 'W1', 'A')], {
    leaseMs: 1_000,
    waitMs: 0,
  });
  await lease.release();
});

test('whoever is next has the pairs while the COMMIT is on its way', async (t) => {
  const rig = await lockedRig(t, 60_000);
  await rig.session.query(`${holdMovements('commit')}; SELECT pg_advisory_lock(1)`);
  const fate = fateOf(rig.pipeline.submit(receipt('k1')));
  await waitsFor(rig, 1);
  const lease = await rig.locks.acquire([pairResource('demo', 'W1', 'A')], { waitMs: 0 });
  await lease.release();
  await rig.session.query('SELECT pg_advisory_unlock(1)');
  assert.equal(await fate, '201');
});

test('a batch that fails gives its pairs back', async (t) => {
  const rig = await lockedRig(t, 60_000);
  await rig.session.query('ALTER TABLE levels ADD CHECK (on_hand < 10)');
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k1', 'A', 10))), 'error');
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k2', 'A', 1))), '201');
  assert.deepEqual(rig.missed, []);
});

test('behind a dead holder only the first batch waits, the others go on under row locks', async (t) => {
  const rig = await lockedRig(t, 60_000);
  await rig.locks.acquire([pairResource('demo', 'W1', 'A')], { leaseMs: 60_000, waitMs: 0 });
  for (let n = 0; n < 10; n++) {
    assert.equal(await fateOf(rig.pipeline.submit(receipt(`k${n}`))), '201');
  }
  assert.equal(rig.missed.length, 1);
  assert.deepEqual(await quantities(rig.session), { level: 10, ledger: 10, movements: 10 });
  const other = { ...receipt('k'), tenant: 'other' };
  assert.equal(await fateOf(rig.pipeline.submit(other)), '404');
  assert.equal(rig.held.length, 1, 'other tenants hold theirs');
});

test('once the lease of a dead holder is over, batches hold their pairs again', async (t) => {
  const rig = await lockedRig(t, 200);
  await rig.locks.acquire([pairResource('demo', 'W1', 'A')], { leaseMs: 200, waitMs: 0 });
  for (let n = 0; n < 5_000 && rig.held.length === 0; n++) {
    assert.equal(await fateOf(rig.pipeline.submit(receipt(`k${n}`))), '201');
  }
  assert.deepEqual([rig.missed.length, rig.held.length], [1, 1]);
});
