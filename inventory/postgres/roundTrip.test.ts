import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, waitFor } from '@onhand/fixtures';
import type pg from 'pg';
import { openSession, waitingSessions } from '../testing/pipelineRig.ts';
import { openDatabase } from './database.ts';
import { sqlState } from './failures.ts';
import { bind, connectionOf, type Statement, sendTogether } from './roundTrip.ts';

const one: Statement = { name: 'one', text: 'SELECT 1::int8' };
const echo = (...values: unknown[]): Statement => ({
  name: 'echo',
  text: 'SELECT $1::text, $2::bytea, $3::int8, $4::boolean, $5::text',
  values,
});
const divide = (by: number): Statement => ({
  name: 'divide',
  text: 'SELECT 6 / $1::int4',
  values: [by],
});

async function openClient(t: TestContext) {
  const { url } = await createTestDatabase(t);
  const database = openDatabase({ url, connections: 2 });
  const client = await database.writes.connect();
  t.after(async () => {
    client.release();
    await database.close();
  });
  return { url, client };
}

const run = (client: pg.PoolClient, statements: readonly Statement[]) =>
  sendTogether(client, statements.map(bind));

const rowsOf = (results: readonly { rows: unknown[] }[]) => results.map(({ rows }) => rows);

test('statements that are sent together run in their order, and are answered at once', async (t) => {
  const { client } = await openClient(t);
  const ends: string[] = [];
  const connection = connectionOf(client) as unknown as NodeJS.EventEmitter;
  connection.on('readyForQuery', () => ends.push('ready'));
  const create = { name: 'create', text: 'CREATE TEMP TABLE things (n int)' };
  const values = ['{"\\\u{1f4e6}', Buffer.from([0, 0x5c, 255]), 9007199254740991, false, null];
  const results = await run(client, [create, one, echo(...values), divide(2)]);
  assert.deepEqual(rowsOf(results), [[], [[1]], [values], [[3]]]);
  assert.deepEqual(
    results.map(({ command }) => command),
    ['CREATE', 'SELECT', 'SELECT', 'SELECT'],
  );
  assert.deepEqual(ends, ['ready']);
});

test('each statement is prepared once on a connection', async (t) => {
  const { client } = await openClient(t);
  const parsed: string[] = [];
  const connection = connectionOf(client) as unknown as NodeJS.EventEmitter;
  connection.on('parseComplete', () => parsed.push('parsed'));
  const results = await Promise.all([
    run(client, [one, divide(1), one]),
    run(client, [divide(2), one]),
  ]);
  assert.deepEqual(results.map(rowsOf), [
    [[[1]], [[6]], [[1]]],
    [[[3]], [[1]]],
  ]);
  assert.deepEqual(rowsOf(await run(client, [divide(3)])), [[[2]]]);
  assert.equal(parsed.length, 2);
});

test('when a statement fails, those behind it are not run, and all can be used again', async (t) => {
  const { client } = await openClient(t);
  const insert = (n: number) => ({
    name: 'insert',
    text: 'INSERT INTO things VALUES ($1)',
    values: [n],
  });
  await client.query('CREATE TEMP TABLE things (n int)');
  const failed = run(client, [divide(1), divide(0), insert(1), one]);
  // On its way before the failure is known.
  const behind = run(client, [divide(1)]);
  await assert.rejects(failed, (error) => sqlState(error) === '22012');
  assert.deepEqual(rowsOf(await behind), [[[6]]]);
  assert.deepEqual(rowsOf(await run(client, [insert(2), one, divide(6)])), [[], [[1]], [[1]]]);
  const { rows } = await client.query('SELECT n FROM things');
  assert.deepEqual(rows, [{ n: 2 }]);
  // Prepared and answered in front of one that failed.
  await assert.rejects(run(client, [echo('', null, 1, true, null), one, divide(0)]));
  assert.deepEqual(rowsOf(await run(client, [one, divide(2)])), [[[1]], [[3]]]);
});

test('a statement that was prepared in front of one that failed is not prepared again', async (t) => {
  const { client } = await openClient(t);
  await assert.rejects(run(client, [one, divide(1), divide(0)]));
  assert.deepEqual(rowsOf(await run(client, [divide(1)])), [[[6]]]);
});

test('large statements have a Sync each, so that no server waits for a part of them', async (t) => {
  const { client } = await openClient(t);
  const ends: string[] = [];
  const connection = connectionOf(client) as unknown as NodeJS.EventEmitter;
  connection.on('readyForQuery', () => ends.push('ready'));
  const large = echo('x'.repeat(20_000), null, 1, true, null);
  const results = await run(client, [one, large, large, one, divide(1)]);
  assert.deepEqual(
    rowsOf(results).map((rows) => rows.length),
    [1, 1, 1, 1, 1],
  );
  assert.equal(ends.length, 2);
});

test('a statement that is too large for a socket is known before it is sent', async (t) => {
  const { client } = await openClient(t);
  const told: string[] = [];
  const connection = connectionOf(client) as unknown as NodeJS.EventEmitter;
  for (const event of ['parseComplete', 'readyForQuery', 'commandComplete']) {
    connection.on(event, () => told.push(event));
  }
  const large = echo('x'.repeat(40_000), null, 1, true, null);
  const [first] = rowsOf(await run(client, [large]));
  assert.equal(first?.length, 1);
  const ran = ['commandComplete', 'readyForQuery'];
  assert.deepEqual(told.splice(0), ['parseComplete', 'readyForQuery', ...ran]);
  await run(client, [large]);
  assert.deepEqual(told.splice(0), ran);
  const lost = { ...large, name: 'lost', text: 'SELECT $1, $2, $3, $4, $5 FROM lost' };
  await assert.rejects(run(client, [lost]), (error) => sqlState(error) === '42P01');
  assert.deepEqual(rowsOf(await run(client, [one])), [[[1]]]);
});

test('one name with two texts is refused before anything is sent', async (t) => {
  const { client } = await openClient(t);
  const other = { name: 'one', text: 'SELECT 2' };
  await run(client, [one]);
  await assert.rejects(run(client, [divide(1), other]), /another text/);
  assert.deepEqual(rowsOf(await run(client, [one, divide(1)])), [[[1]], [[6]]]);
});

test('a value that no parameter is made of is refused', () => {
  assert.throws(() => bind(echo({}, null, 1, true, null)), TypeError);
  assert.throws(() => bind(echo(undefined, null, 1, true, null)), TypeError);
});

test('a statement that cannot be prepared fails those behind it, and is tried anew', async (t) => {
  const { client } = await openClient(t);
  const later = { name: 'later', text: 'SELECT count(*) FROM later' };
  await assert.rejects(run(client, [one, later, divide(1)]), (error) => {
    return sqlState(error) === '42P01';
  });
  await client.query('CREATE TEMP TABLE later ()');
  assert.deepEqual(rowsOf(await run(client, [later, divide(1)])), [[[0]], [[6]]]);
});

test('a connection that breaks fails all that are on their way', async (t) => {
  const { url, client } = await openClient(t);
  const session = await openSession(t, url);
  await session.query('SELECT pg_advisory_lock(1)');
  const wait = { name: 'wait', text: 'SELECT pg_advisory_lock(1)' };
  const sent = [run(client, [one, wait, one]), run(client, [one])];
  const fates = Promise.allSettled(sent);
  await waitFor('they wait', async () => (await waitingSessions(session)) === 1);
  await session.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'onhand' AND datname = current_database()`,
  );
  assert.deepEqual(
    (await fates).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});
