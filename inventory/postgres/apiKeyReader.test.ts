import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, waitFor } from '@onhand/fixtures';
import { sha256 } from '../http/authentication.ts';
import { openSession, waitingSessions } from '../testing/pipelineRig.ts';
import { ApiKeyReader } from './apiKeyReader.ts';
import { createApiKey, revokeApiKey } from './apiKeys.ts';
import { openDatabase } from './database.ts';
import { migrate } from './migrate.ts';

/**
 * A reader of keys `K-1` to `K-4`, all of tenant acme, and how many keys each statement asked for.
 */
async function readerRig(t: TestContext) {
  const { url } = await createTestDatabase(t);
  await migrate(url);
  const session = await openSession(t, url);
  const { lookups, writes, close } = openDatabase({ url, connections: 24 });
  t.after(close);
  for (let n = 1; n <= 4; n++) {
    const key = { tenant: 'acme', role: 'reader', name: `k-${n}` } as const;
    assert.ok(await createApiKey(writes, key, sha256(`K-${n}`)));
  }
  const query = t.mock.method(lookups, 'query');
  const reader = new ApiKeyReader(lookups);
  return {
    session,
    lookups,
    writes,
    statements: () => query.mock.callCount(),
    nameOf: async (secret: string) => (await reader.find(sha256(secret)))?.name,
    waiting: (count: number) =>
      waitFor(
        `${count} wait for the table`,
        async () => (await waitingSessions(session)) === count,
      ),
  };
}

const lockTable = 'BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE';
const nextTurn = () => new Promise(setImmediate);

test('keys that are asked for while a statement runs share the next, each answered for itself', async (t) => {
  const { session, statements, nameOf, waiting } = await readerRig(t);
  await session.query(lockTable);
  const first = nameOf('K-1');
  await waiting(1);
  const asked = [];
  for (const secret of ['K-3', 'guess', 'K-1', 'K-2', 'another guess', 'K-3']) {
    asked.push(nameOf(secret));
    await nextTurn();
  }
  assert.equal(statements(), 1);
  await session.query('COMMIT');
  assert.equal(await first, 'k-1');
  const names = ['k-3', undefined, 'k-1', 'k-2', undefined, 'k-3'];
  assert.deepEqual(await Promise.all(asked), names);
  assert.equal(statements(), 2);
});

test('a key is not found by who asks behind its revocation, though a statement found it before', async (t) => {
  const { lookups, writes, nameOf } = await readerRig(t);
  const [found, told] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const query = lookups.query.bind(lookups) as (...args: unknown[]) => Promise<unknown>;
  t.mock.method(lookups, 'query', async (...args: unknown[]) => {
    const answer = await query(...args);
    found.resolve();
    await told.promise;
    return answer;
  });
  const early = nameOf('K-1');
  await found.promise;
  await revokeApiKey(writes, 'acme', 'k-1');
  const late = nameOf('K-1');
  told.resolve();
  assert.deepEqual(await Promise.all([early, late]), ['k-1', undefined]);
});

test('a statement that hangs holds the others up for a second, not for its time-out', async (t) => {
  const { session, statements, nameOf, waiting } = await readerRig(t);
  await session.query(lockTable);
  const asked = [nameOf('K-1')];
  await waiting(1);
  asked.push(nameOf('K-2'), nameOf('K-3'));
  await waiting(2);
  await session.query('COMMIT');
  assert.deepEqual(await Promise.all(asked), ['k-1', 'k-2', 'k-3']);
  assert.equal(statements(), 2);
});

test('a statement that fails is told to those who asked with it, and to no other', async (t) => {
  const { session, nameOf } = await readerRig(t);
  await session.query('ALTER TABLE api_keys RENAME TO moved');
  for (let n = 0; n < 3; n++) await assert.rejects(nameOf('K-1'), { code: '42P01' });
  await session.query('ALTER TABLE moved RENAME TO api_keys');
  assert.equal(await nameOf('K-1'), 'k-1');
});
