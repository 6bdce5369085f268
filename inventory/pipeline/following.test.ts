import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { waitFor } from '@onhand/fixtures';
import {
  fateOf,
  holdMovements,
  type PipelineRig,
  pipelineRig,
  quantities,
  type RigOptions,
  receipt,
  submission,
  waitsFor,
} from '../testing/pipelineRig.ts';

/** A pipeline whose first batch is held after its COMMIT was sent, by advisory lock 1. */
async function rigThatCommits(
  t: Parameters<typeof pipelineRig>[0],
  hold: string,
  options: RigOptions = {},
) {
  const rig = await pipelineRig(t, options);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('opening', 'A', 100))), '201');
  rig.committed.length = 0;
  await rig.session.query(`${hold}; SELECT pg_advisory_lock(1)`);
  const first = fateOf(rig.pipeline.submit(receipt('first')));
  await waitsFor(rig, 1);
  return { ...rig, first };
}

/** Submits two commands more, and waits until their batch has begun. */
async function submitBehind(rig: PipelineRig, product = 'A'): Promise<Promise<string>[]> {
  const fates = ['k1', 'k2'].map((key) => fateOf(rig.pipeline.submit(receipt(key, product))));
  await waitFor('the next batch has begun', async () => rig.pipeline.queueLength === 0);
  await nextTurn();
  return fates;
}

const release = (rig: PipelineRig, lock: number) =>
  rig.session.query(`SELECT pg_advisory_unlock(${lock})`);

test('the next batch begins behind a COMMIT that is on its way, on the same connection', async (t) => {
  const rig = await rigThatCommits(t, holdMovements('commit'));
  const behind = await submitBehind(rig);
  assert.equal(rig.database.writes.totalCount, 1);
  await release(rig, 1);
  assert.deepEqual(await Promise.all([rig.first, ...behind]), ['201', '201', '201']);
  assert.deepEqual(rig.committed, [1, 2]);
  assert.deepEqual(await quantities(rig.session), { level: 103, ledger: 103, movements: 4 });
});

for (const when of ['statement', 'commit'] as const) {
  test(`a batch that fails at its ${when} leaves the one behind it alone, and goes after it`, async (t) => {
    const rig = await rigThatCommits(t, holdMovements(when, '40001'));
    const behind = await submitBehind(rig);
    await rig.session.query('SELECT pg_advisory_lock(2)');
    await release(rig, 1);
    await waitsFor(rig, 2);
    assert.equal(rig.failures.length, 1);
    // The failure has not ended its transaction: it still holds the level that it decides on.
    const { rowCount } = await rig.session.query('SELECT FROM levels FOR UPDATE SKIP LOCKED');
    assert.equal(rowCount, 0);
    await release(rig, 2);
    assert.deepEqual(await Promise.all([rig.first, ...behind]), ['201', '201', '201']);
    assert.deepEqual(rig.committed, [2, 1]);
    assert.deepEqual(await quantities(rig.session), { level: 103, ledger: 103, movements: 4 });
  });
}

test('behind a part of a batch goes the rest of it, and then who came later', async (t) => {
  const rig = await pipelineRig(t, { batchLinesMax: 2 });
  const received = ['a', 'b'].map((key) => rig.pipeline.submit(receipt(key)));
  const postings = (await Promise.all(received)).map(({ record }) =>
    JSON.parse(record.answer.body.toString()),
  );
  await rig.session.query(`${holdMovements('commit')}; SELECT pg_advisory_lock(1)`);
  const parts = postings.map(({ id: posting }) =>
    submission(`reversal of ${posting}`, { type: 'reversal', posting, reason: 'a mistake' }),
  );
  const fates = parts.map((part) => fateOf(rig.pipeline.submit(part)));
  await waitsFor(rig, 1);
  const later = fateOf(rig.pipeline.submit(receipt('later', 'A', 7)));
  await nextTurn();
  await nextTurn();
  assert.equal(rig.pipeline.queueLength, 1);
  await release(rig, 1);
  assert.deepEqual(await Promise.all([...fates, later]), ['201', '201', '201']);
});

test('while a batch is to be tried again, no other begins behind the one that followed it', async (t) => {
  const rig = await rigThatCommits(t, holdMovements('statement', '40001'));
  const behind = await submitBehind(rig);
  await rig.session.query('SELECT pg_advisory_lock(2)');
  await release(rig, 1);
  await waitsFor(rig, 2);
  const last = ['k3', 'k4', 'k5'].map((key) => fateOf(rig.pipeline.submit(receipt(key))));
  await nextTurn();
  await nextTurn();
  assert.equal(rig.pipeline.queueLength, 3);
  await release(rig, 2);
  assert.deepEqual(await Promise.all([rig.first, ...behind, ...last]), Array(6).fill('201'));
  assert.deepEqual(rig.committed, [2, 1, 3]);
});

test('a connection that breaks under two batches costs each an attempt, and keeps their order', async (t) => {
  const rig = await rigThatCommits(t, holdMovements('commit'));
  const behind = await submitBehind(rig, 'C');
  await rig.session.query('SELECT pg_advisory_lock(2)');
  await rig.session.query(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`);
  await waitsFor(rig, 2);
  assert.equal(rig.failures.length, 2);
  // Time enough for the second, whose rows are free, to go ahead if it did not wait for its turn.
  for (let n = 0; n < 50; n++) await rig.session.query('SELECT');
  assert.deepEqual(rig.committed, []);
  await release(rig, 2);
  assert.deepEqual(await Promise.all([rig.first, ...behind]), ['201', '201', '201']);
  assert.deepEqual(rig.committed, [1, 2]);
  assert.deepEqual(await quantities(rig.session), { level: 101, ledger: 101, movements: 2 });
  assert.deepEqual(await quantities(rig.session, 'C'), { level: 2, ledger: 2, movements: 2 });
});

test('a lane gives its place to another tenant that waits, before its own next batch', async (t) => {
  const rig = await rigThatCommits(t, holdMovements('commit'), { lanesMax: 1 });
  const submitTo = (tenant: string, keys: string[]) =>
    keys.map((key) => fateOf(rig.pipeline.submit({ ...receipt(key), tenant })));
  const others = submitTo('other', ['o1', 'o2']);
  const own = submitTo('demo', ['k1', 'k2', 'k3']);
  await nextTurn();
  await nextTurn();
  assert.equal(rig.pipeline.queueLength, 5);
  await release(rig, 1);
  assert.deepEqual(await Promise.all([rig.first, ...own]), Array(4).fill('201'));
  assert.deepEqual(await Promise.all(others), ['404', '404']);
  assert.deepEqual(rig.committed, [1, 2, 3]);
});
