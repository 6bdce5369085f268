import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeDataDir, waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { createApiKey, ensureApiKey, revokeApiKey } from '../postgres/apiKeys.ts';
import { putCatalogueEntry } from '../postgres/catalogueEntries.ts';
import type { Database } from '../postgres/database.ts';
import { ConfirmedRecords } from '../postgres/standbys.ts';
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

/**
 * A pipeline that has recorded a receipt and a refusal, on a primary that since waits for a
 * standby.
 */
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
    return (await waitingCommits(rig.session)).length === 1;
  });
  return rig;
}

async function configure(session: pg.Client, setting: string): Promise<void> {
  await session.query(`ALTER SYSTEM ${setting}`);
  await session.query('SELECT pg_reload_conf()');
}

/** The transactions whose COMMIT waits. */
async function waitingCommits(session: pg.Client): Promise<string[]> {
  const { rows } = await session.query<{ id: string }>(`
    SELECT pid || ' ' || xact_start AS id FROM pg_stat_activity WHERE wait_event = 'SyncRep'
    ORDER BY pid`);
  return rows.map(({ id }) => id);
}

const replays: [what: string, answer: string, give: (rig: PipelineRig) => Promise<string>][] = [
  ['a record that was looked up', '201', ({ database }) => lookedUp(database, received.key)],
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
    await waitFor('the answer waits', async () => (await waitingCommits(rig.session)).length === 2);
    assert.equal(given, '');
    await configure(rig.session, 'RESET synchronous_standby_names');
    await replayed;
    assert.equal(given, answer);
  });
}

test('a key without an answer waits for no standby', async (t) => {
  const { database } = await rigThatWaits(t);
  assert.equal(await lookedUp(database, 'new'), 'undefined');
});

test('many look-ups wait in one session, and other reads go on', async (t) => {
  const { database, session } = await rigThatWaits(t);
  const records = new ConfirmedRecords(database);
  const find = () => records.find(tenant, received.key);
  const first = find();
  await waitFor('it waits', async () => (await waitingCommits(session)).length === 2);
  // More than one statement takes.
  const found = Promise.all(Array.from({ length: 1_200 }, find));
  assert.equal(await records.find(tenant, 'new'), undefined);
  assert.equal((await database.reads.query('SELECT 1 AS one')).rows[0].one, 1);
  const given = first.then(String, (error: Error) => error.name);
  await cancelWaits(session);
  assert.equal(await given, 'UnconfirmedError');
  await waitFor('the next waits', async () => (await waitingCommits(session)).length === 2);
  assert.equal((await database.reads.query('SELECT 1 AS one')).rows[0].one, 1);
  await configure(session, 'RESET synchronous_standby_names');
  assert.deepEqual(new Set((await found).map((record) => record?.answer.status)), new Set([201]));
});

test('a COMMIT whose wait for the standby was cancelled is not acknowledged', async (t) => {
  const { pipeline, session } = await rigThatWaits(t);
  let given = '';
  const posted = fateOf(pipeline.submit(receipt('new'))).then((fate) => {
    given = fate;
  });
  await waitFor('it waits', async () => (await waitingCommits(session)).length === 2);
  const before = await waitingCommits(session);
  await cancelWaits(session);
  await waitFor('it is answered, or waits once more', async () => {
    const now = await waitingCommits(session);
    return given !== '' || (now.length === 2 && now.join() !== before.join());
  });
  assert.equal(given, '');
  await configure(session, 'RESET synchronous_standby_names');
  await posted;
  assert.equal(given, '201 replayed');
});

const secrets = ['a', 'b'].map((digit) => digit.repeat(64)) as [string, string];
const key = { tenant, role: 'reader', name: 'shop' } as const;
const product = { code: 'NEW', name: null, allowBackorder: false };
const writes: [what: string, write: (pool: pg.Pool) => Promise<unknown>][] = [
  ['a product', (pool) => putCatalogueEntry(pool, tenant, 'product', product)],
  ['an API key', (pool) => createApiKey(pool, key, secrets[0])],
  ['another secret of it', (pool) => ensureApiKey(pool, key, secrets[1])],
  ['its revocation', (pool) => revokeApiKey(pool, tenant, key.name)],
];

test('nor is what is written by itself', async (t) => {
  const { database, session } = await rigThatWaits(t);
  await session.query('SET synchronous_commit = local');
  await session.query('INSERT INTO tenants (tenant_id) VALUES ($1)', [tenant]);
  for (const [what, write] of writes) {
    const given = write(database.reads).then(String, (error: Error) => error.name);
    await waitFor(`${what} waits`, async () => (await waitingCommits(session)).length === 2);
    await cancelWaits(session);
    assert.equal(await given, 'UnconfirmedError', what);
  }
});

/** As an administrator does who sees sessions hang. */
function cancelWaits(session: pg.Client): Promise<unknown> {
  return session.query(`
    SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'onhand' AND wait_event = 'SyncRep'`);
}

async function lookedUp(database: Database, key: string): Promise<string> {
  const record = await new ConfirmedRecords(database).find(tenant, key);
  return String(record?.answer.status);
}
