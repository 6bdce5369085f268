import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase, startService, startTestRedis, waitFor } from '@onhand/fixtures';
import { apiClient, expect, tally } from './testing/apiClient.ts';
import { Traffic } from './testing/traffic.ts';

/**
 * What one request can wait for a Redis that does not answer: a claim (2 × 200 ms), a lease (wait
 * 1,000 ms + 2 × 250 ms), and the batch before it, which waits for its lease too; the rest is a
 * slow machine.
 */
const latencyMsBound = 5_000;

test('Redis killed, paused, emptied and restarted under load is never seen by a caller', async (t) => {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    ONHAND_API_KEY: 'a-key-that-both-instances-share',
    LOG_LEVEL: 'warn',
  };
  const services = await Promise.all([startService(t, { env }), startService(t, { env })]);
  const clients = services.map(apiClient);
  const traffic = new Traffic(() => clients);
  await traffic.start(32);
  await traffic.acknowledgedMore(200);

  const degraded = async () => {
    const bodies = clients.map((client) => expect(client.get('/readyz'), 200));
    return (await Promise.all(bodies)).map((body) => JSON.stringify(body.degraded)).join();
  };
  const becomes = (state: string) =>
    waitFor(`/readyz says ${state}`, async () => (await degraded()) === `${state},${state}`);
  const breaks: [string, () => unknown, () => unknown][] = [
    ['killed', redis.kill, redis.restart],
    ['paused', redis.pause, redis.resume],
  ];
  assert.equal(await degraded(), '[],[]');
  for (const [name, hurt, heal] of breaks) {
    await hurt();
    t.diagnostic(`Redis is ${name}`);
    await becomes('["redis"]');
    await traffic.acknowledgedMore(200);
    await heal();
    await becomes('[]');
    await traffic.acknowledgedMore(200);
  }
  await redis.flush();
  await traffic.acknowledgedMore(200);
  await traffic.stop();
  for (const client of clients) {
    const { text } = await client.get('/metrics');
    const lost = Number(/^onhand_claims_degraded_total (\d+)$/m.exec(text)?.[1]);
    assert.ok(lost >= breaks.length, `Redis was lost ${lost} times by the metrics`);
  }
  assert.deepEqual(Object.keys(tally(traffic.replies)), ['201']);
  assert.equal(traffic.lost, 0);
  t.diagnostic(`slowest answer: ${Math.round(traffic.latencyMsMax)} ms`);
  assert.ok(traffic.latencyMsMax < latencyMsBound, `slowest ${traffic.latencyMsMax} ms`);
  await traffic.reconcile();
});
