import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import {
  addPipeline,
  fateOf,
  type PipelineRig,
  pipelineRig,
  quantities,
  receipt,
  submission,
  waitingSessions,
} from '../testing/pipelineRig.ts';
import type { Settlement, Submission } from './batch.ts';
import type { CommitOptions } from './commitBatch.ts';
import { settleBatch } from './settleBatch.ts';

/** Makes inserts of movements fail, as many as `times`, with an error of this code. */
function failMovements(code: string, times: number): string {
  return `
    CREATE SEQUENCE failed;
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('failed') <= ${times} THEN RAISE EXCEPTION 'as meant' USING ERRCODE = '${code}';
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER fail AFTER INSERT ON movements FOR EACH STATEMENT EXECUTE FUNCTION fail()`;
}

const codes = (failures: unknown[]) => failures.map((error) => (error as { code: string }).code);

test('a serialization failure is tried again', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(failMovements('40001', 1));
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k', 'A', 5))), '201');
  assert.deepEqual(codes(rig.failures), ['40001']);
  assert.deepEqual(await quantities(rig.session), { level: 5, ledger: 5, movements: 1 });
});

test('a deadlock with a stranger is tried again', async (t) => {
  const rig = await pipelineRig(t);
  const both = submission('opening', {
    type: 'receipt',
    warehouse: 'W1',
    lines: ['A', 'B'].map((product) => ({ product, quantity: 5 })),
  });
  assert.equal(await fateOf(rig.pipeline.submit(both)), '201');
  await rig.session.query(`
    SET deadlock_timeout = '1min';
    BEGIN; SELECT FROM levels WHERE product = 'B' FOR UPDATE`);
  const settled = fateOf(rig.pipeline.submit({ ...both, key: 'k' }));
  await waitFor('it holds A and waits for B', async () => {
    return (await waitingSessions(rig.session)) === 1;
  });
  await rig.session.query(`SELECT FROM levels WHERE product = 'A' FOR UPDATE`);
  await rig.session.query('COMMIT');
  assert.equal(await settled, '201');
  assert.deepEqual(codes(rig.failures), ['40P01']);
  assert.deepEqual(await quantities(rig.session), { level: 10, ledger: 10, movements: 2 });
});

test('a poison command fails alone; its neighbours in the batch take effect', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(`ALTER TABLE levels ADD CHECK (product <> 'B' OR on_hand < 10)`);
  const products = ['A', 'C', 'B', 'A', 'A', 'C'];
  const fates = products.map((product, n) =>
    fateOf(rig.pipeline.submit(receipt(`k${n}`, product, 10))),
  );
  assert.deepEqual(await Promise.all(fates), ['201', '201', 'error', '201', '201', '201']);
  assert.equal(codes(rig.failures)[0], '23514');
  assert.deepEqual(await quantities(rig.session), { level: 30, ledger: 30, movements: 3 });
  assert.deepEqual(await quantities(rig.session, 'B'), { level: 0, ledger: 0, movements: 0 });
  const { rows } = await rig.session.query(`SELECT FROM idempotency_records WHERE key = 'k2'`);
  assert.equal(rows.length, 0, 'the key of a command that failed stays free');
});

test('one key on two instances without Redis takes effect once', async (t) => {
  const rig = await pipelineRig(t);
  const { options } = rig.database.writes;
  const other = addPipeline(t, options.connectionString as string);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('opening', 'A', 100))), '201');
  await rig.session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const fates = [rig, other].map(({ pipeline }) => fateOf(pipeline.submit(receipt('k', 'A', 5))));
  await waitFor('both wait', async () => (await waitingSessions(rig.session)) === 2);
  await rig.session.query('COMMIT');
  assert.deepEqual((await Promise.all(fates)).toSorted(), ['201', '201 replayed']);
  assert.deepEqual(await quantities(rig.session), { level: 105, ledger: 105, movements: 2 });
});

test('a key that another writer records first is answered with what that one recorded', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(`
    BEGIN;
    INSERT INTO idempotency_records (scope, key, fingerprint, status, headers, body, expires_at)
    VALUES ('demo', 'k', decode(repeat('00', 32), 'hex'), 418, '{}', '', now() + interval '1 hour')`);
  const settled = fateOf(rig.pipeline.submit(receipt('k', 'A', 5)));
  await waitFor('it waits to record', async () => (await waitingSessions(rig.session)) === 1);
  await rig.session.query('COMMIT');
  assert.equal(await settled, '418 replayed');
  assert.deepEqual(codes(rig.failures), ['23505']);
  assert.deepEqual(await quantities(rig.session), { level: 0, ledger: 0, movements: 0 });
});

test('a key whose record has outlived its retention takes effect anew', async (t) => {
  const rig = await pipelineRig(t);
  const send = () => fateOf(rig.pipeline.submit(receipt('k', 'A', 5)));
  assert.equal(await send(), '201');
  assert.equal(await send(), '201 replayed');
  await rig.session.query(`UPDATE idempotency_records SET expires_at = now()`);
  assert.equal(await send(), '201');
  assert.equal(await send(), '201 replayed');
  assert.deepEqual(await quantities(rig.session), { level: 10, ledger: 10, movements: 2 });
});

test('a part of a batch that fails takes nothing from the parts before it', async (t) => {
  const rig = await pipelineRig(t, { batchLinesMax: 2 });
  const postings = await Promise.all(['A', 'B'].map((product) => posted(rig, product)));
  await rig.session.query(
    `ALTER TABLE movements ADD CHECK (product <> 'B' OR on_hand_change > 0) NOT VALID`,
  );
  rig.failures.length = 0;
  const reversals = postings.map((posting, n) => reversal(`v${n}`, posting));
  const fates = reversals.map((each) => fateOf(rig.pipeline.submit(each)));
  assert.deepEqual(await Promise.all(fates), ['201', 'error']);
  assert.equal(rig.failures.length, 1, 'the part that was committed is not tried again');
});

test('a part of a batch is answered when it is committed, whatever the next one waits for', async (t) => {
  const rig = await pipelineRig(t, { batchLinesMax: 2 });
  const postings = await Promise.all(['A', 'B'].map((product) => posted(rig, product)));
  await rig.session.query(`BEGIN; SELECT FROM levels WHERE product = 'B' FOR UPDATE`);
  const [first, second] = postings.map((posting, n) =>
    fateOf(rig.pipeline.submit(reversal(`v${n}`, posting))),
  );
  assert.equal(await first, '201');
  await rig.session.query('ROLLBACK');
  assert.equal(await second, '201');
});

test('parts of a batch that is late are turned away, and those before are told', async (t) => {
  const rig = await pipelineRig(t);
  const postings = await Promise.all(['A', 'B', 'C'].map((product) => posted(rig, product)));
  const reversals = postings.map((posting, n) => reversal(`v${n}`, posting));
  const options = optionsOf(rig, { batchLinesMax: 2 });
  const settlements = await settled(options, reversals, undefined, { until: performance.now() });
  assert.deepEqual(
    settlements.map((each) => ('error' in each ? (each.error as Error).name : each.replayed)),
    [false, 'OverloadedError', 'OverloadedError'],
  );
  assert.deepEqual(await Promise.all(reversals.map((each) => fateOf(rig.pipeline.submit(each)))), [
    '201 replayed',
    '201',
    '201',
  ]);
});

test('what is late behind an attempt that may have taken effect is not called undone', async (t) => {
  const rig = await pipelineRig(t);
  const postings = await Promise.all(['A', 'B'].map((product) => posted(rig, product)));
  await rig.session.query(failMovements('57P01', 1));
  const patience = { until: performance.now() + 10_000 };
  const observer = {
    batchCommitted: () => {
      patience.until = 0;
    },
  };
  const options = optionsOf(rig, { batchLinesMax: 2, observer });
  const reversals = postings.map((posting, n) => reversal(`v${n}`, posting));
  const settlements = await settled(options, reversals, undefined, patience);
  assert.deepEqual(
    settlements.map((each) => 'error' in each && (each.error as Error).name),
    [false, 'DatabaseUnavailableError'],
  );
});

test('the wait for who shared the connection is not counted', async (t) => {
  const rig = await pipelineRig(t);
  const postings = await Promise.all(['A', 'B'].map((product) => posted(rig, product)));
  await rig.session.query(failMovements('40001', 1));
  const patience = { until: 0 };
  const failed = async () => {
    const began = performance.now();
    await waitFor('a second has passed', async () => performance.now() > began + 1_000);
    patience.until = performance.now() - 1;
  };
  const first = { place: { ahead: undefined, committing: () => {} }, over: () => {}, failed };
  const reversals = postings.map((posting, n) => reversal(`v${n}`, posting));
  const options = optionsOf(rig, { batchLinesMax: 2 });
  const settlements = await settled(options, reversals, first, patience);
  assert.deepEqual(
    settlements.map((each) => 'error' in each),
    [false, false],
  );
});

test('who shares the connection of a first part waits for no other', async (t) => {
  const rig = await pipelineRig(t);
  const postings = await Promise.all(['A', 'B'].map((product) => posted(rig, product)));
  const order: string[] = [];
  const note = (what: string) => async () => void order.push(what);
  const place = { ahead: undefined, committing: () => {} };
  const first = { place, over: note('over'), failed: note('failed') };
  const observer = { batchCommitted: note('committed') };
  const reversals = postings.map((posting, n) => reversal(`v${n}`, posting));
  await settled(optionsOf(rig, { batchLinesMax: 2, observer }), reversals, first);
  assert.deepEqual(order, ['committed', 'over', 'committed']);
});

/** Receives one of a product. @returns the posting's id */
async function posted(
  { pipeline }: Pick<PipelineRig, 'pipeline'>,
  product: string,
): Promise<string> {
  const { record } = await pipeline.submit(receipt(`opening ${product}`, product));
  return JSON.parse(record.answer.body.toString()).id;
}

function reversal(key: string, posting: string): Submission {
  return submission(key, { type: 'reversal', posting, reason: 'a mistake' });
}

test('a batch that keeps failing is neither retried nor split once its time is over', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(failMovements('40001', 1_000_000));
  const attempts: number[] = [];
  const observer = {
    batchFailed: ({ commands }: { commands: number }) => void attempts.push(commands),
  };
  const options = optionsOf(rig, { observer });
  const many = ['k1', 'k2', 'k3', 'k4'].map((key) => receipt(key));
  const settlements = await settled(options, many, undefined, { until: performance.now() });
  assert.deepEqual(attempts, [4]);
  assert.deepEqual(
    settlements.map((each) => 'error' in each && (each.error as Error).name),
    Array(4).fill('DatabaseUnavailableError'),
  );
});

async function settled(...args: Parameters<typeof settleBatch>): Promise<Settlement[]> {
  const all: Settlement[] = [];
  for await (const part of settleBatch(...args)) all.push(...part);
  return all;
}

function optionsOf({ database }: PipelineRig, more: Partial<CommitOptions>): CommitOptions {
  const render = () => ({ status: 201, headers: {}, body: Buffer.from('') });
  const options = { database, locks: undefined, retentionMs: 3_600_000, batchLinesMax: 4_000 };
  return { ...options, render, observer: {}, ...more };
}
