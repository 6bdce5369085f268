import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import type pg from 'pg';
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
import { type Link, startProxy, targetOf, through } from '../testing/proxy.ts';

/** An instance whose COMMITs are kept from the server while `hold` is set. */
async function instanceWithHeldCommits(t: TestContext, rig: PipelineRig) {
  const state = { hold: false, held: undefined as (() => void) | undefined };
  const { connectionString } = rig.database.writes.options;
  const proxy = await startProxy(t, targetOf(connectionString as string), {
    onRequest: (chunk: Buffer, link: Link) => {
      if (!state.hold || !chunk.includes('COMMIT\0')) return true;
      state.hold = false;
      state.held = () => link.forward(chunk);
      return false;
    },
  });
  return { state, ...addPipeline(t, through(proxy, connectionString as string)) };
}

/** Receives 10 of A and reserves them all, until `ttlMs` from now. @returns the reservation's id */
async function reserveAll({ pipeline, session }: PipelineRig, ttlMs: number): Promise<string> {
  assert.equal(await fateOf(pipeline.submit(receipt('opening', 'A', 10))), '201');
  const reservation = submission('reserve', {
    type: 'reservation',
    warehouse: 'W1',
    expiresAt: (await databaseNow(session)) + ttlMs,
    lines: [{ product: 'A', quantity: 10 }],
  });
  const { record } = await pipeline.submit(reservation);
  assert.equal(record.answer.status, 201);
  return (JSON.parse(record.answer.body.toString()) as { id: string }).id;
}

async function databaseNow(session: pg.Client): Promise<number> {
  const { rows } = await session.query('SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms');
  return Number(rows[0].ms);
}

async function expiryPassed(session: pg.Client, reservation: string): Promise<void> {
  await waitFor('the expiry passes', async () => {
    const { rows } = await session.query(
      'SELECT expires_at < clock_timestamp() AS over FROM reservations WHERE reservation_id = $1',
      [reservation],
    );
    return rows[0].over;
  });
}

const extend = (reservation: string) =>
  submission('extend', { type: 'reservation-extend', reservation, ttlSeconds: 3_600 });
const ship = submission('ship', {
  type: 'shipment',
  warehouse: 'W1',
  lines: [{ product: 'A', quantity: 1 }],
});

test('a shipment behind an extension that commits after the old expiry respects the new one', async (t) => {
  const rig = await pipelineRig(t);
  const other = await instanceWithHeldCommits(t, rig);
  const reservation = await reserveAll(rig, 1_000);
  other.state.hold = true;
  const extended = fateOf(other.pipeline.submit(extend(reservation)));
  await waitFor('the extension is decided', () => other.state.held !== undefined);
  const shipped = fateOf(rig.pipeline.submit(ship));
  await waitFor('the shipment waits', async () => (await waitingSessions(rig.session)) === 1);
  await expiryPassed(rig.session, reservation);
  other.state.held?.();
  assert.equal(await extended, '201');
  assert.equal(await shipped, '409');
});

test('an extension that waits until its reservation is over is refused, and the units are free', async (t) => {
  const rig = await pipelineRig(t);
  const reservation = await reserveAll(rig, 1_000);
  await rig.session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const extended = rig.pipeline.submit(extend(reservation));
  await waitFor('the extension waits', async () => (await waitingSessions(rig.session)) === 1);
  await expiryPassed(rig.session, reservation);
  await rig.session.query('COMMIT');
  const { record } = await extended;
  assert.match(record.answer.body.toString(), /"code":"reservation-expired"/);
  assert.equal(await fateOf(rig.pipeline.submit(ship)), '201');
});

test('the time of a level never goes back, also when the clock of the database does', async (t) => {
  const rig = await pipelineRig(t);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k1'))), '201');
  // As if the clock had been an hour ahead when this level was last written.
  await rig.session.query(`UPDATE levels SET recorded_at = recorded_at + interval '1 hour'`);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k2'))), '201');
  assert.equal(await fateOf(rig.pipeline.submit(receipt('k3'))), '201');
  const { rows } = await rig.session.query(`
    SELECT l.recorded_at <= m.recorded_at AS ahead FROM movements m JOIN levels l USING (product)
    WHERE m.sequence > 1`);
  assert.deepEqual(rows, [{ ahead: true }, { ahead: true }]);
});

test('transfers there and back on two instances never meet in a deadlock', async (t) => {
  const rig = await pipelineRig(t);
  const other = addPipeline(t, rig.database.writes.options.connectionString as string);
  const products = ['A', 'B', 'C'];
  for (const warehouse of ['W1', 'W2']) {
    const lines = products.map((product) => ({ product, quantity: 500 }));
    const opening = submission(`opening-${warehouse}`, { type: 'receipt', warehouse, lines });
    assert.equal(await fateOf(rig.pipeline.submit(opening)), '201');
  }
  const moves = async (
    pipeline: PipelineRig['pipeline'],
    name: string,
    from: string,
    to: string,
  ) => {
    const order = from === 'W1' ? products : products.toReversed();
    const lines = order.map((product) => ({ product, quantity: 1 }));
    for (let n = 0; n < 40; n++) {
      const move = submission(`${name}-${n}`, { type: 'transfer', from, to, lines });
      assert.equal(await fateOf(pipeline.submit(move)), '201');
    }
  };
  await Promise.all([
    moves(rig.pipeline, 'there', 'W1', 'W2'),
    moves(other.pipeline, 'back', 'W2', 'W1'),
  ]);
  assert.deepEqual([...rig.failures, ...other.failures], []);
  assert.deepEqual((await quantities(rig.session, 'B', 'W2'))?.level, 500);
});

test('an instance that stands still with its rows locked holds others up for seconds only', async (t) => {
  const rig = await pipelineRig(t);
  const frozen = await instanceWithHeldCommits(t, rig);
  assert.equal(await fateOf(rig.pipeline.submit(receipt('opening', 'A', 100))), '201');
  frozen.state.hold = true;
  const late = fateOf(frozen.pipeline.submit(receipt('frozen')));
  await waitFor('it holds the row', () => frozen.state.held !== undefined);
  const before = performance.now();
  assert.equal(await fateOf(rig.pipeline.submit(receipt('awake'))), '201');
  // idle_in_transaction_session_timeout is 4 s; the lock time-out of the one who waits is 6 s.
  const waitedMs = performance.now() - before;
  assert.ok(waitedMs < 6_000, `waited ${waitedMs} ms`);
  assert.deepEqual(rig.failures, []);
  assert.equal(await late, '201', 'awake again, it finds its session gone and tries again');
  assert.deepEqual(await quantities(rig.session), { level: 102, ledger: 102, movements: 3 });
});
