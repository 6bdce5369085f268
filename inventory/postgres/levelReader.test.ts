import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, waitFor } from '@onhand/fixtures';
import { openSession, waitingSessions } from '../testing/pipelineRig.ts';
import { openDatabase } from './database.ts';
import { LevelReader } from './levelReader.ts';
import { migrate } from './migrate.ts';

/**
 * A reader, and what it sends: for each statement, how many ran when it was sent, itself included.
 */
async function readerRig(t: TestContext) {
  const { url } = await createTestDatabase(t);
  await migrate(url);
  const session = await openSession(t, url);
  const { reads, close } = openDatabase({ url, connections: 24 });
  t.after(close);
  const sent: number[] = [];
  let running = 0;
  const query = reads.query.bind(reads) as (...args: unknown[]) => Promise<unknown>;
  t.mock.method(reads, 'query', (...args: unknown[]) => {
    running += 1;
    sent.push(running);
    return query(...args).finally(() => {
      running -= 1;
    });
  });
  const reader = new LevelReader(reads);
  /** `[product, on hand, sequence]`, or undefined. */
  const read = async (product: string, tenant = 'demo') => {
    const level = await reader.find(tenant, { warehouse: 'W1', product });
    return level && [level.product, level.onHand, level.sequence];
  };
  return {
    session,
    sent,
    statements: () => sent.length,
    read,
    /** One read of product A in each of so many turns, none of them awaited. */
    readInTurns: async (count: number) => {
      const asked: ReturnType<typeof read>[] = [];
      for (let n = 0; n < count; n++) {
        asked.push(read('A'));
        await nextTurn();
      }
      return asked;
    },
    insert: (tenant: string, product: string, onHand: number) =>
      session.query(
        `INSERT INTO levels (tenant_id, warehouse, product, on_hand, sequence)
         VALUES ($1, 'W1', $2, $3, 1)`,
        [tenant, product, onHand],
      ),
  };
}

const nextTurn = () => new Promise(setImmediate);

test('reads of one turn share a statement, and each gets the level that it asked for', async (t) => {
  const { read, insert, statements } = await readerRig(t);
  await insert('demo', 'A', 1);
  await insert('demo', 'B', 2);
  await insert('other', 'A', 3);
  const asked = [
    read('B'),
    read('A'),
    read('none'),
    read('A', 'other'),
    read('B', 'other'),
    read('B'),
  ];
  assert.deepEqual(await Promise.all(asked), [
    ['B', 2, 1],
    ['A', 1, 1],
    undefined,
    ['A', 3, 1],
    undefined,
    ['B', 2, 1],
  ]);
  assert.equal(statements(), 1);
  assert.deepEqual(await read('A'), ['A', 1, 1]);
  assert.equal(await read('none'), undefined);
  assert.equal(statements(), 3);
});

test('reads that come while two statements run share the next, and see what was committed meanwhile', async (t) => {
  const { readInTurns, insert, statements, session } = await readerRig(t);
  await insert('demo', 'A', 1);
  await session.query('BEGIN; LOCK TABLE levels IN ACCESS EXCLUSIVE MODE');
  const early = await readInTurns(2);
  await waitFor('both wait for the table', async () => (await waitingSessions(session)) === 2);
  await session.query('UPDATE levels SET on_hand = 5, sequence = 2');
  const late = await readInTurns(10);
  assert.equal(statements(), 2);
  await session.query('COMMIT');
  assert.deepEqual(await Promise.all(late), Array(10).fill(['A', 5, 2]));
  await Promise.all(early);
  assert.equal(statements(), 3);
});

test('reads wait for a statement that hangs only for a while, and the bound holds again behind it', async (t) => {
  const { read, readInTurns, insert, statements, sent, session } = await readerRig(t);
  await insert('demo', 'A', 1);
  await session.query('BEGIN; LOCK TABLE levels IN ACCESS EXCLUSIVE MODE');
  const asked = await readInTurns(3);
  assert.equal(statements(), 2);
  await waitFor('the third is sent as well', async () => (await waitingSessions(session)) === 3);
  for (let n = 0; n < 600; n++) asked.push(read('A'));
  await session.query('COMMIT');
  assert.deepEqual(await Promise.all(asked), Array(603).fill(['A', 1, 1]));
  assert.deepEqual(sent.slice(0, 3), [1, 2, 3]);
  assert.equal(sent.length, 6);
  assert.equal(Math.max(...sent.slice(3)), 2);
});

test('a statement that fails takes no place from those behind it', async (t) => {
  const { read, insert, session } = await readerRig(t);
  await insert('demo', 'A', 1);
  await session.query('ALTER TABLE levels RENAME TO moved');
  for (let n = 0; n < 3; n++) await assert.rejects(read('A'), { code: '42P01' });
  await session.query('ALTER TABLE moved RENAME TO levels');
  assert.deepEqual(await read('A'), ['A', 1, 1]);
});

test('many reads are shared out among statements', async (t) => {
  const { read, session, statements } = await readerRig(t);
  await session.query(`
    INSERT INTO levels (tenant_id, warehouse, product, on_hand, sequence)
    SELECT 'demo', 'W1', 'P' || n, n, 1 FROM generate_series(1, 600) n`);
  const numbers = Array.from({ length: 600 }, (_, n) => n + 1);
  const found = await Promise.all(numbers.map((n) => read(`P${n}`)));
  assert.deepEqual(
    found,
    numbers.map((n) => [`P${n}`, n, 1]),
  );
  assert.equal(statements(), 3);
});
