import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import {
  fateOf,
  type PipelineRig,
  pipelineRig,
  quantities,
  receipt,
  waitingSessions,
} from '../testing/pipelineRig.ts';
import { startProxy, targetOf, through } from '../testing/proxy.ts';

/** Breaks the connection of the next COMMIT before the server has it, or after it has answered. */
async function rigThatLosesACommit(t: TestContext, when: 'before' | 'after') {
  const state = { armed: false, awaitingReply: false, cuts: 0 };
  const rig = await pipelineRig(t, {
    via: async (url) => {
      const proxy = await startProxy(t, targetOf(url), {
        onRequest: (chunk, link) => {
          if (!state.armed || !chunk.includes('COMMIT\0')) return true;
          state.armed = false;
          if (when === 'after') {
            state.awaitingReply = true;
            return true;
          }
          state.cuts += 1;
          link.cut();
          return false;
        },
        onReply: (chunk, link) => {
          if (!state.awaitingReply || !chunk.includes('COMMIT\0')) return true;
          state.awaitingReply = false;
          state.cuts += 1;
          link.cut();
          return false;
        },
      });
      return through(proxy, url);
    },
  });
  return { rig, state };
}

async function openLevel({ pipeline }: PipelineRig): Promise<void> {
  assert.equal(await fateOf(pipeline.submit(receipt('opening', 'A', 100))), '201');
}

test('a commit whose request was lost is made again, once', async (t) => {
  const { rig, state } = await rigThatLosesACommit(t, 'before');
  await openLevel(rig);
  state.armed = true;
  const { replayed } = await rig.pipeline.submit(receipt('k', 'A', 5));
  assert.equal(state.cuts, 1);
  assert.equal(rig.failures.length, 1);
  assert.equal(replayed, false);
  assert.deepEqual(await quantities(rig.session), { level: 105, ledger: 105, movements: 2 });
});

test('a commit whose answer was lost is found, not repeated', async (t) => {
  const { rig, state } = await rigThatLosesACommit(t, 'after');
  await openLevel(rig);
  state.armed = true;
  const { record } = await rig.pipeline.submit(receipt('k', 'A', 5));
  assert.equal(state.cuts, 1);
  assert.equal(rig.failures.length, 1);
  assert.deepEqual(await quantities(rig.session), { level: 105, ledger: 105, movements: 2 });
  const { rows } = await rig.session.query('SELECT body FROM idempotency_records WHERE key = $1', [
    'k',
  ]);
  assert.equal(record.answer.body.toString(), rows[0].body.toString());
});

test('a refusal that moves no level, its commit lost, is also recorded once', async (t) => {
  const { rig, state } = await rigThatLosesACommit(t, 'after');
  state.armed = true;
  assert.match(await fateOf(rig.pipeline.submit(receipt('k', 'UNKNOWN'))), /^404/);
  assert.equal(state.cuts, 1);
  const { rows } = await rig.session.query('SELECT key FROM idempotency_records');
  assert.deepEqual(rows, [{ key: 'k' }]);
});

test('a backend that is terminated while its batch waits for a row costs one attempt', async (t) => {
  const rig = await pipelineRig(t);
  await openLevel(rig);
  await rig.session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const settled = rig.pipeline.submit(receipt('k', 'A', 5));
  await waitFor('the batch waits', async () => (await waitingSessions(rig.session)) === 1);
  await rig.session.query(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`);
  await waitFor('the failure shows', () => rig.failures.length === 1);
  await rig.session.query('COMMIT');
  assert.equal(await fateOf(settled), '201');
  assert.deepEqual(await quantities(rig.session), { level: 105, ledger: 105, movements: 2 });
});
