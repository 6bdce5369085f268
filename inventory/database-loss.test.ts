import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeDataDir, startService, startTestRedis, waitFor } from '@onhand/fixtures';
import pg from 'pg';
import { startEmbeddedPostgres } from './runtime/embeddedPostgres.ts';
import { apiClient, type Reply, tally } from './testing/apiClient.ts';
import { startProxy, targetOf, through } from './testing/proxy.ts';
import { Traffic } from './testing/traffic.ts';

/** A PostgreSQL that can be restarted while its address stays. */
async function restartablePostgres(t: TestContext) {
  const options = { dataDir: makeDataDir(t), log: () => {} };
  let server = await startEmbeddedPostgres(options);
  t.after(() => server.stop());
  const proxy = await startProxy(t, targetOf(server.url));
  return {
    url: through(proxy, server.url),
    stop: () => server.stop(),
    start: async () => {
      server = await startEmbeddedPostgres(options);
      proxy.target = targetOf(server.url);
    },
    terminateBackends: async () => {
      const session = new pg.Client({ connectionString: server.url });
      await session.connect();
      const { rowCount } = await session.query(`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'onhand'`);
      await session.end();
      return rowCount ?? 0;
    },
  };
}

test('PostgreSQL sessions ended and the server restarted under load: only 201 or 503, each effect once', async (t) => {
  const [postgres, redis] = await Promise.all([restartablePostgres(t), startTestRedis(t)]);
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    ONHAND_API_KEY: 'a-key-that-both-instances-share',
    LOG_LEVEL: 'silent',
  };
  const services = await Promise.all([startService(t, { env }), startService(t, { env })]);
  const clients = services.map(apiClient);
  const traffic = new Traffic(() => clients);
  await traffic.start(32);
  for (let n = 0; n < 5; n++) {
    await traffic.acknowledgedMore(60);
    assert.ok((await postgres.terminateBackends()) > 0);
  }
  await traffic.acknowledgedMore(60);
  const whileSessionsEnded = tally(traffic.replies);
  await postgres.stop();
  await waitFor('callers are refused', () => traffic.refused > 0);
  assert.deepEqual(tally(await Promise.all(clients.map((client) => client.get('/readyz')))), {
    '503 database-unavailable': 2,
  });
  await postgres.start();
  await traffic.acknowledgedMore(200);
  await traffic.stop();
  t.diagnostic(JSON.stringify({ whileSessionsEnded, inAll: tally(traffic.replies) }));
  const refusals = traffic.replies.filter(({ status }) => status !== 201);
  assert.deepEqual(
    refusals.filter((reply) => !isUnavailable(reply)).map(({ text }) => text),
    [],
  );
  assert.equal(traffic.lost, 0);
  await traffic.reconcile();
});

function isUnavailable({ status, headers, text }: Reply): boolean {
  return status === 503 && headers.has('retry-after') && text.includes('"database-unavailable"');
}
