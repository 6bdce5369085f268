import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import {
  fateOf,
  type PipelineRig,
  pipelineRig,
  quantities,
  type RigOptions,
  receipt,
  submission,
  waitingSessions,
} from '../testing/pipelineRig.ts';

/** A pipeline whose first batch waits for a row that the session holds. */
async function heldPipeline(t: Parameters<typeof pipelineRig>[0], options: RigOptions = {}) {
  const rig = await pipelineRig(t, options);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('opening', 'A', 100))), '201');
  rig.committed.length = 0;
  await rig.session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const first = fateOf(rig.pipeline.submit(receipt('first')));
  await waitFor('the first batch waits', async () => (await waitingSessions(rig.session)) === 1);
  return { ...rig, first };
}

function submitMany({ pipeline }: Pick<PipelineRig, 'pipeline'>, count: number) {
  return Array.from({ length: count }, (_, n) => fateOf(pipeline.submit(receipt(`k${n}`))));
}

test('a command alone is a batch at once; those that come while it commits are the next', async (t) => {
  const rig = await heldPipeline(t);
  assert.equal(rig.pipeline.queueLength, 0);
  const gathered = submitMany(rig, 20);
  assert.equal(rig.pipeline.queueLength, 20);
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all([rig.first, ...gathered]), Array(21).fill('201'));
  assert.deepEqual(rig.committed, [1, 20]);
  assert.deepEqual(await quantities(rig.session), { level: 121, ledger: 121, movements: 22 });
});

test('the next batch begins while the answers of the last are given, a few in a turn', async (t) => {
  const rig = await heldPipeline(t, { batchCommandsMax: 160 });
  const order: string[] = [];
  let inThisTurn = 0;
  let inOneTurn = 0;
  const answered = () => {
    order.push('answer');
    if (inThisTurn++ === 0) setImmediate(() => (inThisTurn = 0));
    inOneTurn = Math.max(inOneTurn, inThisTurn);
  };
  // The last is alone in the batch after theirs, and its answer may come within the same turn.
  const gathered = submitMany(rig, 161).map((fate, n) => (n < 160 ? fate.then(answered) : fate));
  rig.database.writes.on('acquire', () => order.push('batch'));
  await rig.session.query('COMMIT');
  await Promise.all(gathered);
  assert.deepEqual(rig.committed, [1, 160, 1]);
  assert.ok(order.lastIndexOf('batch') <= 33, order.join(' '));
  // Of two turns at most: this turn's callback runs behind the one that gives the next answers.
  assert.ok(inOneTurn <= 64, `${inOneTurn} answers in one turn`);
});

test('a batch has no more commands than its bound', async (t) => {
  const rig = await heldPipeline(t, { batchCommandsMax: 3 });
  const gathered = submitMany(rig, 7);
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all(gathered), Array(7).fill('201'));
  assert.deepEqual(rig.committed, [1, 3, 3, 1]);
});

test('a batch has no more lines than its bound, unless one command has them all', async (t) => {
  const rig = await heldPipeline(t, { batchLinesMax: 4 });
  const gathered = [2, 2, 3, 1, 9].map((count, n) => {
    const lines = Array(count).fill({ product: 'A', quantity: 1 });
    return fateOf(
      rig.pipeline.submit(submission(`k${n}`, { type: 'receipt', warehouse: 'W1', lines })),
    );
  });
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all(gathered), Array(5).fill('201'));
  assert.deepEqual(rig.committed, [1, 2, 2, 1]);
});

test('a command that takes over the lines of a posting counts as many', async (t) => {
  const rig = await heldPipeline(t, { batchLinesMax: 4 });
  await rig.session.query('COMMIT');
  await rig.first;
  const postings = await Promise.all([1, 2, 3].map((n) => threeLines(rig, `r${n}`)));
  await rig.session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  rig.committed.length = 0;
  const first = fateOf(rig.pipeline.submit(receipt('again')));
  await waitFor('a batch waits', async () => (await waitingSessions(rig.session)) === 1);
  const reversals = postings.map((posting, n) =>
    fateOf(
      rig.pipeline.submit(submission(`v${n}`, { type: 'reversal', posting, reason: 'a mistake' })),
    ),
  );
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all([first, ...reversals]), Array(4).fill('201'));
  assert.deepEqual(rig.committed, [1, 1, 1, 1]);
});

test('a command counts with all lines of its reservation, however few it names, and once', async (t) => {
  const rig = await pipelineRig(t, { batchLinesMax: 5 });
  await threeLines(rig, 'opening');
  await threeLines(rig, 'more');
  const [one = '', two = ''] = await Promise.all(['r1', 'r2'].map((key) => reserveThree(rig, key)));
  rig.committed.length = 0;
  const release = (key: string, reservation: string, product: string) => {
    const lines = [{ product, quantity: 1 }];
    const command = { type: 'reservation-release', reservation, lines } as const;
    return fateOf(rig.pipeline.submit(submission(key, command)));
  };
  const released = [release('a', one, 'A'), release('b', one, 'B'), release('c', two, 'A')];
  assert.deepEqual(await Promise.all(released), Array(3).fill('201'));
  assert.deepEqual(rig.committed, [2, 1]);
});

/** Reserves one of each product. @returns the reservation's id */
async function reserveThree({ pipeline }: PipelineRig, key: string): Promise<string> {
  const lines = ['A', 'B', 'C'].map((product) => ({ product, quantity: 1 }));
  const { record } = await pipeline.submit(
    submission(key, { type: 'reservation', warehouse: 'W1', lines }),
  );
  return JSON.parse(record.answer.body.toString()).id;
}

/** Receives one of each product. @returns the posting's id */
async function threeLines({ pipeline }: PipelineRig, key: string): Promise<string> {
  const lines = ['A', 'B', 'C'].map((product) => ({ product, quantity: 1 }));
  const { record } = await pipeline.submit(
    submission(key, { type: 'receipt', warehouse: 'W1', lines }),
  );
  return JSON.parse(record.answer.body.toString()).id;
}

test('past the length of the queue a command is turned away at once, with nothing done', async (t) => {
  const rig = await heldPipeline(t, { queueCommandsMax: 2 });
  const gathered = submitMany(rig, 3);
  assert.equal(await gathered[2], 'OverloadedError');
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all(gathered.slice(0, 2)), ['201', '201']);
  assert.deepEqual(await quantities(rig.session), { level: 103, ledger: 103, movements: 4 });
});

test('past its waiting time a command is turned away while the batch before is still stuck', async (t) => {
  const rig = await heldPipeline(t, { queueWaitMs: 1 });
  assert.deepEqual(await Promise.all(submitMany(rig, 2)), ['OverloadedError', 'OverloadedError']);
  assert.equal(rig.pipeline.queueLength, 0);
  await rig.session.query('COMMIT');
  assert.equal(await rig.first, '201');
  assert.deepEqual(await quantities(rig.session), { level: 101, ledger: 101, movements: 2 });
});

test('a key that comes twice in one turn takes effect once, and the second is a replay', async (t) => {
  const rig = await heldPipeline(t);
  const twice = [receipt('k', 'A', 5), receipt('k', 'A', 5)];
  const fates = twice.map((each) => fateOf(rig.pipeline.submit(each)));
  await rig.session.query('COMMIT');
  assert.deepEqual(await Promise.all(fates), ['201', '201 replayed']);
  assert.deepEqual(rig.committed, [1, 1, 1]);
  assert.deepEqual(await quantities(rig.session), { level: 106, ledger: 106, movements: 3 });
});

test('closing takes nothing new, and ends when all that was taken is settled', async (t) => {
  const rig = await heldPipeline(t);
  const gathered = submitMany(rig, 5);
  let isClosed = false;
  const closed = rig.pipeline.close().then(() => {
    isClosed = true;
  });
  assert.equal(await fateOf(rig.pipeline.submit(receipt('late'))), 'OverloadedError');
  assert.equal(isClosed, false);
  await rig.session.query('COMMIT');
  await closed;
  assert.deepEqual(await Promise.all(gathered), Array(5).fill('201'));
});

test('batches of other tenants go on while one tenant is stuck', async (t) => {
  const rig = await heldPipeline(t);
  const other = { ...receipt('k'), tenant: 'other' };
  assert.equal(await fateOf(rig.pipeline.submit(other)), '404');
  await rig.session.query('COMMIT');
  assert.equal(await rig.first, '201');
});

test('thousands of levels that are new are made within a second or two, and once', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(
    `INSERT INTO products (tenant_id, product) SELECT 'demo', 'N' || n FROM generate_series(1, 2000) n`,
  );
  const lines = Array.from({ length: 2000 }, (_, n) => ({ product: `N${n + 1}`, quantity: 1 }));
  const began = performance.now();
  const command = { type: 'transfer', from: 'W1', to: 'W2', lines } as const;
  assert.equal(await fateOf(rig.pipeline.submit(submission('big', command))), '409');
  const tookMs = performance.now() - began;
  assert.deepEqual(rig.failures, []);
  // A join of every pair with every code took some 5 s.
  assert.ok(tookMs < 3_000, `${tookMs} ms`);
  const { rows } = await rig.session.query('SELECT count(*)::int AS levels FROM levels');
  assert.equal(rows[0].levels, 4_000);
});
