import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { renderOutcome } from '../http/answers.ts';
import { Preview } from '../pipeline/preview.ts';
import {
  type PipelineRig,
  pipelineRig,
  receipt,
  submission,
  tenant,
} from '../testing/pipelineRig.ts';
import { findApiKeys } from './apiKeys.ts';
import { type Database, openDatabase } from './database.ts';
import { findLevels } from './findLevels.ts';
import { findPostings } from './findPostings.ts';
import { findRecord } from './findRecord.ts';
import { findReservation, findReservations, fittingReservations } from './findReservations.ts';
import { LevelReader } from './levelReader.ts';
import { verifyLedger } from './verifyLedger.ts';

/** How often each table was read whole. Sessions tell it when they end. */
async function wholeReads(session: pg.Client): Promise<Record<string, number>> {
  const { rows } = await session.query<{ table: string; count: number }>(`
    SELECT relname AS table, seq_scan::int AS count FROM pg_stat_user_tables
    WHERE relname = ANY('{levels,movements,postings,reservations,reservation_lines,
                          idempotency_records,warehouses,products,api_keys}')`);
  return Object.fromEntries(rows.map(({ table, count }) => [table, count]));
}

/** Closes pools, and waits until their sessions have told what they read. */
async function closed({ reads, writes, close }: Database, session: pg.Client): Promise<void> {
  const ids = await Promise.all(
    [reads, writes].map(async (pool) => {
      const { rows } = await pool.query<{ id: number }>('SELECT pg_backend_pid() AS id');
      return rows[0]?.id;
    }),
  );
  await close();
  await waitFor('the sessions have ended', async () => {
    const { rowCount } = await session.query('SELECT FROM pg_stat_activity WHERE pid = ANY($1)', [
      ids,
    ]);
    return rowCount === 0;
  });
}

test('what is read by key comes by an index, also from tables of one page', async (t) => {
  const { pipeline, session, database } = await pipelineRig(t);
  await pipeline.submit(receipt('receive', 'A', 9));
  const lines = [{ product: 'A', quantity: 1 }];
  const reserve = { type: 'reservation', warehouse: 'W1', lines, ttlSeconds: 600 } as const;
  const { record } = await pipeline.submit(submission('reserve', reserve));
  const { id, posting } = JSON.parse(record.answer.body.toString());
  // The planner now knows that nothing is shorter than the way through a whole table. Plans are
  // kept by their session, while a table grows a thousandfold until it is analysed again.
  await session.query('ANALYZE');
  const before = await wholeReads(session);

  const { connectionString } = database.reads.options;
  const own = openDatabase({ url: connectionString as string, connections: 2 });
  const { reads } = own;
  const levels = new LevelReader(reads);
  const preview = new Preview(own, renderOutcome);
  // A kept plan comes after five of a statement's own.
  for (let n = 0; n < 8; n++) {
    const level = { warehouse: 'W1', product: 'A' };
    const found = await Promise.all([levels.find(tenant, level), levels.find(tenant, level)]);
    assert.equal(found[0]?.sequence, 2);
    assert.equal((await levels.find(tenant, level))?.onHand, 9);
    assert.equal((await findPostings(reads, tenant, [posting.id])).size, 1);
    assert.equal((await findReservation(reads, tenant, id))?.id, id);
    assert.equal((await findRecord(reads, tenant, 'receive'))?.record.answer.status, 201);
    assert.equal((await findApiKeys(reads, ['00'.repeat(32), '11'.repeat(32)])).size, 0);
    const [answer] = await preview.decide(tenant, [receipt('try').command]);
    assert.equal(answer?.status, 201);
  }
  await closed(own, session);
  assert.deepEqual(await wholeReads(session), before);
});

/** Lines of one unit on level A that expire in an hour. */
async function insertLines(session: pg.Client, count: number, { shipped }: { shipped: number }) {
  await session.query(
    `INSERT INTO reservation_lines
       (tenant_id, reservation_id, position, warehouse, product, quantity, shipped, expires_at)
     SELECT $1, gen_random_uuid(), 0, 'W1', 'A', 1, $3, now() + interval '1 hour'
     FROM generate_series(1, $2::integer)`,
    [tenant, count, shipped],
  );
  await session.query('ANALYZE reservation_lines');
}

/** How many rows `read` takes from a table, in sessions of its own. */
async function rowsRead(
  { session, database }: PipelineRig,
  table: 'reservations' | 'reservation_lines',
  read: (reads: pg.Pool) => Promise<unknown>,
): Promise<number> {
  const fetched = async () => {
    const { rows } = await session.query<{ count: number }>(
      `SELECT (seq_tup_read + idx_tup_fetch)::int AS count FROM pg_stat_user_tables
       WHERE relname = $1`,
      [table],
    );
    return rows[0]?.count as number;
  };
  await session.query('SELECT pg_stat_force_next_flush()');
  const before = await fetched();
  const { connectionString } = database.reads.options;
  const own = openDatabase({ url: connectionString as string, connections: 2 });
  await read(own.reads);
  await closed(own, session);
  return (await fetched()) - before;
}

test('a proof reads the lines that hold units, not all there ever were', async (t) => {
  const rig = await pipelineRig(t);
  await rig.pipeline.submit(receipt('receive', 'A', 9));
  await insertLines(rig.session, 2, { shipped: 0 });
  await insertLines(rig.session, 1000, { shipped: 1 });
  const prove = async (reads: pg.Pool) => {
    const { faults } = await verifyLedger(reads, tenant);
    // These two were not reserved by a command.
    assert.deepEqual(
      faults.map(({ fault }) => fault),
      ['reserved-differs-from-reservations'],
    );
  };
  assert.equal(await rowsRead(rig, 'reservation_lines', prove), 2);
});

test('a level is read without the holds on it that still run', async (t) => {
  const rig = await pipelineRig(t);
  await rig.pipeline.submit(receipt('receive', 'A', 9));
  await insertLines(rig.session, 1000, { shipped: 0 });
  const read = async (reads: pg.Pool) => {
    const level = { warehouse: 'W1', product: 'A' };
    assert.equal((await new LevelReader(reads).find(tenant, level))?.onHand, 9);
    assert.equal(
      (await findLevels(reads, tenant, level, { after: undefined, limit: 2 })).length,
      1,
    );
  };
  assert.equal(await rowsRead(rig, 'reservation_lines', read), 0);
});

test('active reservations are listed without those that have expired', async (t) => {
  const rig = await pipelineRig(t);
  const insert = (count: number, expiresAt: string) =>
    rig.session.query(
      `INSERT INTO reservations
         (tenant_id, reservation_id, posting_id, warehouse, expires_at, recorded_at)
       SELECT $1, gen_random_uuid(), gen_random_uuid(), 'W1', ${expiresAt}, now()
       FROM generate_series(1, $2::integer)`,
      [tenant, count],
    );
  await insert(2000, `now() - interval '1 hour'`);
  await insert(3, `now() + interval '1 hour'`);
  await insert(3, 'NULL');
  await rig.session.query('ANALYZE reservations');
  const list = async (reads: pg.Pool) => {
    const page = { after: undefined, limit: 10 };
    assert.equal((await findReservations(reads, tenant, { status: 'active' }, page)).length, 6);
  };
  const read = await rowsRead(rig, 'reservations', list);
  assert.ok(read <= 12, `${read} rows were read`);
});

test('a page of reservations with many lines ends where it is full', async (t) => {
  const rig = await pipelineRig(t);
  await rig.session.query(
    `WITH made AS (
       INSERT INTO reservations (tenant_id, reservation_id, posting_id, warehouse, recorded_at)
       SELECT $1, gen_random_uuid(), gen_random_uuid(), 'W1', now() FROM generate_series(1, 30)
       RETURNING tenant_id, reservation_id)
     INSERT INTO reservation_lines
       (tenant_id, reservation_id, position, warehouse, product, quantity)
     SELECT tenant_id, reservation_id, n, 'W1', 'P' || n, 1
     FROM made, generate_series(1, 1000) n`,
    [tenant],
  );
  await rig.session.query('ANALYZE reservations, reservation_lines');
  const list = async (reads: pg.Pool) => {
    const found = await findReservations(reads, tenant, {}, { after: undefined, limit: 101 });
    assert.equal(found.length, 5);
    assert.equal(fittingReservations(found), 4);
  };
  const read = await rowsRead(rig, 'reservation_lines', list);
  assert.ok(read <= 6000, `${read} lines were read`);
});
