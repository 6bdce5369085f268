import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase, startService, startTestRedis } from '@onhand/fixtures';
import { apiClient, expect, onHand, openStock } from './testing/apiClient.ts';

test('two databases behind one Redis never answer for each other', async (t) => {
  const redis = await startTestRedis(t);
  const start = async () => {
    const { url } = await createTestDatabase(t);
    const env = { DATABASE_URL: url, REDIS_URL: redis.url };
    const client = apiClient(await startService(t, { env }));
    await openStock(client, ['W1'], ['A'], 10);
    return client;
  };
  const [first, second] = [await start(), await start()];
  const receipt = { warehouse: 'W1', lines: [{ product: 'A', quantity: 5 }] };
  const answers = [];
  for (const client of [first, second]) {
    answers.push(await expect(client.post('/v1/receipts', 'one-key', receipt), 201));
  }
  assert.notEqual(answers[0]?.id, answers[1]?.id);
  assert.deepEqual([await onHand(first, 'W1', 'A'), await onHand(second, 'W1', 'A')], [15, 15]);
});
