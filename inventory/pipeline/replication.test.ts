import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeDataDir, waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { findRecord } from '../postgres/findRecord.ts';
import { startEmbeddedPostgres } from '../runtime/embeddedPostgres.ts';
import {
  fateOf,
  openSession,
  type PipelineRig,
  pipelineRig,
  receipt,
  tenant,
} from '../testing/pipelineRig.ts';

const received = receipt('received');
const refused = receipt('refused', 'UNKNOWN');

/** A pipeline that has recorded a receipt and a refusal, on a primary that since waits for a standby. */
async function rigThatWaits(t: TestContext) {
  const dataDir = makeDataDir(t);
  const server = await startEmbeddedPostgres({
    dataDir,
    log: () => {},
    settings: { fsync: 'off' },
  });
  t.after(server.stop);
  const rig = await pipelineRig(t, { url: server.url });
  assert.equal(await fateOf(rig.pipeline.submit(received)), '201');
  assert.equal(await fateOf(rig.pipeline.submit(refused)), '404');
  await configure(rig.session, `SET synchronous_standby_names = 'nobody'`);
  // Commits wait from the moment at which the checkpointer has read the setting.
  const other = await openSession(t, server.url);
  await waitFor('a commit waits', async () => {
    other.query(`SELECT pg_logical_emit_message(true, 'test', '')`).catch(() => {});
    return (await waitingCommits(rig.session)) === 1;
  });
  return rig;
}

async function configure(session: pg.Client, setting: string): Promise<void> {
  await session.query(`ALTER SYSTEM ${setting}`);
  await session.query('SELECT pg_reload_conf()');
}

async function waitingCommits(session: pg.Client): Promise<number> {
  const { rows } = await session.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
  return rows.length;
}

const replays: [what: string, answer: string, give: (rig: PipelineRig) => Promise<string>][] = [
  [
    'a record that was looked up',
    '201',
    async ({ database }) => {
      const record = await findRecord(database.reads, tenant, received.key);
      return String(record?.answer.status);
    },
  ],
  [
    'a receipt that a batch finds recorded',
    '201 replayed',
    ({ pipeline }) => fateOf(pipeline.submit(received)),
  ],
  [
    'a refusal that a batch finds recorded, which locks no level',
    '404 replayed',
    ({ pipeline }) => fateOf(pipeline.submit(refused)),
  ],
];
for (const [what, answer, give] of replays) {
  test(`${what} is given once the standby has it`, async (t) => {
    const rig = await rigThatWaits(t);
    let given = '';
    const replayed = give(rig).then((fate) => {
      given = fate;
    });
    await waitFor('the answer waits', async () => (await waitingCommits(rig.session)) === 2);
    assert.equal(given, '');
    await configure(rig.session, 'RESET synchronous_standby_names');
    await replayed;
    assert.equal(given, answer);
  });
}

test('a key without an answer waits for no standby', async (t) => {
  const { database } = await rigThatWaits(t);
  assert.equal(await findRecord(database.reads, tenant, 'new'), undefined);
});
