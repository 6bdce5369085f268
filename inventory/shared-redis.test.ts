import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, startService, startTestRedis } from '@onhand/fixtures';
import { apiClient, expect, onHand, openStock } from './testing/apiClient.ts';
import { openSession } from './testing/pipelineRig.ts';

const places: Record<string, (t: TestContext) => Promise<[string, string]>> = {
  databases: async (t) => [(await createTestDatabase(t)).url, (await createTestDatabase(t)).url],
  'schemas of one database': async (t) => {
    const { url } = await createTestDatabase(t);
    const session = await openSession(t, url);
    await session.query('CREATE SCHEMA shop; CREATE SCHEMA lab');
    const inSchema = (schema: string) => {
      const own = new URL(url);
      own.searchParams.set('options', `-csearch_path=${schema}`);
      return own.href;
    };
    return [inSchema('shop'), inSchema('lab')];
  },
};

for (const [two, make] of Object.entries(places)) {
  test(`two ${two} behind one Redis never answer for each other`, (t) => assertApart(t, make));
}

async function assertApart(t: TestContext, make: (t: TestContext) => Promise<[string, string]>) {
  const redis = await startTestRedis(t);
  const urls = await make(t);
  const start = async (url: string) => {
    const env = { DATABASE_URL: url, REDIS_URL: redis.url };
    const client = apiClient(await startService(t, { env }));
    await openStock(client, ['W1'], ['A'], 10);
    return client;
  };
  const [first, second] = [await start(urls[0]), await start(urls[1])];
  const receipt = { warehouse: 'W1', lines: [{ product: 'A', quantity: 5 }] };
  const answers = [];
  for (const client of [first, second]) {
    answers.push(await expect(client.post('/v1/receipts', 'one-key', receipt), 201));
  }
  assert.notEqual(answers[0]?.id, answers[1]?.id);
  assert.deepEqual([await onHand(first, 'W1', 'A'), await onHand(second, 'W1', 'A')], [15, 15]);
}
