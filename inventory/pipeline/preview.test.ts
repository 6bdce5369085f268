import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { renderOutcome } from '../http/answers.ts';
import { openDatabase } from '../postgres/database.ts';
import { fateOf, pipelineRig, receipt, tenant } from '../testing/pipelineRig.ts';
import { Preview } from './preview.ts';

/** Takes every connection that a pool may open. @returns what gives them back */
async function exhaust(pool: pg.Pool): Promise<() => void> {
  const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
  return () => {
    for (const client of clients) client.release();
  };
}

test('dry runs and commits take their connections from different pools', async (t) => {
  const { database, pipeline } = await pipelineRig(t);
  const preview = new Preview(database, renderOutcome);
  const { command } = receipt('k');
  const releaseWrites = await exhaust(database.writes);
  const [answer] = await preview.decide(tenant, [command]);
  assert.equal(answer?.status, 201);
  releaseWrites();
  const releaseReads = await exhaust(database.reads);
  assert.equal(await fateOf(pipeline.submit(receipt('k'))), '201');
  releaseReads();
});

test('it ends with the first answer beyond its bytes', async (t) => {
  const { database } = await pipelineRig(t);
  const preview = new Preview(database, renderOutcome);
  const commands = Array.from({ length: 9 }, () => receipt('k').command);
  const all = await preview.decide(tenant, commands);
  const bytes = all.slice(0, 4).reduce((sum, { body }) => sum + body.length, 0);
  assert.equal((await preview.decide(tenant, commands, bytes)).length, 5);
});

test('a connection of each pool stays open over a quiet time', async (t) => {
  const rig = await pipelineRig(t);
  const { connectionString } = rig.database.writes.options;
  const database = openDatabase({ url: connectionString as string, connections: 6, idleMs: 10 });
  t.after(() => database.close());
  for (const pool of [database.writes, database.reads]) {
    const clients = await Promise.all(
      Array.from({ length: pool.options.max }, () => pool.connect()),
    );
    const pids = await Promise.all(clients.map(backendOf));
    for (const client of clients) client.release();
    await waitFor('the others are closed', () => pool.totalCount <= 1);
    assert.ok(pids.includes(await backendOf(pool)), 'one of those that were open is left');
  }
});

async function backendOf(session: pg.Pool | pg.PoolClient): Promise<number> {
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]?.pid ?? 0;
}
