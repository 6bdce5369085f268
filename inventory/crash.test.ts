import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  createTestDatabase,
  makeDataDir,
  startService,
  startTestRedis,
  waitFor,
} from '@onhand/fixtures';
import { processIdentity } from './runtime/processes.ts';
import { apiClient, tally } from './testing/apiClient.ts';
import { Traffic } from './testing/traffic.ts';

const apiKey = 'a-key-that-outlives-the-process';

test('a service killed under load twice loses and repeats nothing', async (t) => {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    ONHAND_API_KEY: apiKey,
    // Retries of what was under way wait until what the dead process held is free.
    ONHAND_CLAIM_LEASE_MS: '500',
    LOG_LEVEL: 'warn',
  };
  let service = await startService(t, { env });
  const traffic = new Traffic(() => [apiClient(service)]);
  await traffic.start(32);
  for (let kills = 0; kills < 2; kills++) {
    await traffic.acknowledgedMore(150);
    await service.kill();
    service = await startService(t, { env });
  }
  await traffic.acknowledgedMore(50);
  await traffic.reconcile();
  assert.ok(traffic.lost > 0, 'the kills must hit something');
  assert.deepEqual(Object.keys(tally(traffic.replies)).filter(isUnexpected), []);
});

test('a service that is frozen under load and thawed neither blocks the other nor repeats anything', async (t) => {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    ONHAND_API_KEY: apiKey,
    // What queues in the frozen one waits as long as it is frozen, also on a slow machine.
    ONHAND_QUEUE_WAIT_MS: '60000',
    LOG_LEVEL: 'silent',
  };
  const [frozen, awake] = await Promise.all([startService(t, { env }), startService(t, { env })]);
  let isFrozen = false;
  const traffic = new Traffic(() => (isFrozen ? [awake] : [frozen, awake]).map(apiClient));
  await traffic.start(32);
  await traffic.acknowledgedMore(200);
  isFrozen = true;
  process.kill(frozen.pid, 'SIGSTOP');
  // Some callers hang on the frozen one; the rows that it holds are free after 4 s.
  await traffic.acknowledgedMore(300);
  process.kill(frozen.pid, 'SIGCONT');
  isFrozen = false;
  await traffic.acknowledgedMore(200);
  await traffic.reconcile();
  assert.deepEqual(Object.keys(tally(traffic.replies)).filter(isUnexpected), []);
  t.diagnostic(`slowest answer: ${Math.round(traffic.latencyMsMax)} ms`);
});

test('what was acknowledged survives kill -9 of the service and of its PostgreSQL', async (t) => {
  const env = { ONHAND_API_KEY: apiKey, ONHAND_DATA_DIR: makeDataDir(t) };
  let service = await startService(t, { env });
  const traffic = new Traffic(() => [apiClient(service)]);
  await traffic.start(16);
  await traffic.acknowledgedMore(200);
  const pidFile = path.join(env.ONHAND_DATA_DIR, 'postgres', 'data', 'postmaster.pid');
  const postmaster = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
  process.kill(postmaster, 'SIGKILL');
  await service.kill();
  await waitFor('its PostgreSQL ends', () => processIdentity(postmaster) === undefined);
  service = await startService(t, { env });
  await traffic.acknowledgedMore(50);
  await traffic.reconcile();
  assert.ok(traffic.lost > 0);
  assert.equal(await service.stop(), 0, service.output());
});

/** While one instance is gone its claims are still leased, and its database may be starting. */
function isUnexpected(answer: string): boolean {
  return !['201', '409 request-in-flight', '503 database-unavailable'].includes(answer);
}
