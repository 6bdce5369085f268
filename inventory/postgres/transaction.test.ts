import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { openDatabase } from './database.ts';
import { failureOf } from './failures.ts';
import { Transaction } from './transaction.ts';

async function openThings(t: TestContext) {
  const { url } = await createTestDatabase(t);
  const { writes, reads, close } = openDatabase({ url, connections: 2 });
  t.after(close);
  await reads.query('CREATE TABLE things (n int)');
  const things = async () => {
    const { rows } = await reads.query<{ n: number }>('SELECT n FROM things ORDER BY n');
    return rows.map(({ n }) => n);
  };
  return { writes, things };
}

async function begin(pool: Parameters<typeof Transaction.open>[0]): Promise<Transaction> {
  const transaction = await Transaction.open(pool);
  await transaction.pipelined(() => transaction.begin());
  return transaction;
}

const insert = (n: unknown) => ({
  name: 'insert',
  text: 'INSERT INTO things VALUES ($1)',
  values: [n],
});

test('a write that cannot be issued takes the COMMIT and its neighbours along', async (t) => {
  const { writes, things } = await openThings(t);
  const transaction = await begin(writes);
  const commit = transaction.commit(() => [
    transaction.query(insert(1)),
    transaction.query(insert({})),
  ]);
  await assert.rejects(commit, TypeError);
  await transaction.rollback();
  assert.equal(writes.idleCount, writes.totalCount);
  const next = await begin(writes);
  await next.commit(() => [next.query(insert(2))]);
  assert.deepEqual(await things(), [2]);
});

test('a statement that is issued too late is refused, and does not wait for ever', async (t) => {
  const { writes, things } = await openThings(t);
  const transaction = await begin(writes);
  assert.throws(() => transaction.query(insert(1)), /outside of a round trip/);
  await transaction.rollback();
  assert.deepEqual(await things(), []);
});

test('a connection that cannot write any more is closed, and the next transaction has another', async (t) => {
  const { writes, things } = await openThings(t);
  await writes.query('SET default_transaction_read_only = on');
  const failed = await begin(writes);
  await assert.rejects(
    failed.commit(() => [failed.query(insert(1))]),
    (error) => failureOf(error) === 'unreachable',
  );
  const next = await begin(writes);
  await next.commit(() => [next.query(insert(2))]);
  assert.deepEqual(await things(), [2]);
});

test('a transaction that failed before does not count as committed', async (t) => {
  const { writes, things } = await openThings(t);
  const transaction = await begin(writes);
  await assert.rejects(
    transaction.pipelined(() => transaction.query({ name: 'fail', text: 'SELECT 1 / 0' })),
  );
  await assert.rejects(
    transaction.commit(() => []),
    /ROLLBACK/,
  );
  assert.deepEqual(await things(), []);
});

test('a warning that is not about standbys makes no commit doubtful', async (t) => {
  const { writes, things } = await openThings(t);
  await writes.query(`
    CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE WARNING 'of somebody else'; RETURN NEW; END $$;
    CREATE TRIGGER warn BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION warn()`);
  const warnings: string[] = [];
  writes.on('acquire', (client) => {
    client.on('notice', ({ code, message }) => warnings.push(`${code} ${message}`));
  });
  const transaction = await begin(writes);
  await transaction.commit(() => [transaction.query(insert(1))]);
  assert.deepEqual(warnings, ['01000 of somebody else']);
  assert.deepEqual(await things(), [1]);
});
