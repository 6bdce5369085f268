import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase, startService, startTestRedis } from '@onhand/fixtures';
import {
  type ApiClient,
  apiClient,
  expect,
  onHand,
  openStock,
  provenMovements,
  type Reply,
  tally,
} from './testing/apiClient.ts';

function concurrently(count: number, send: (n: number) => Promise<Reply>): Promise<Reply[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => send(n)));
}

test('two instances on one database and one Redis', async (t) => {
  const redis = await startTestRedis(t);
  const env = {
    DATABASE_URL: (await createTestDatabase(t)).url,
    REDIS_URL: redis.url,
    ONHAND_API_KEY: 'a-key-that-both-instances-share',
    LOG_LEVEL: 'warn',
  };
  const start = () => startService(t, { env });

  // Each test has products of its own.
  const services = await Promise.all([start(), start()]);
  const clients = services.map(apiClient) as [ApiClient, ApiClient];

  await t.test(
    'of 500 concurrent shipments of one unit from 100, exactly 100 succeed',
    async () => {
      await openStock(clients[0], ['SHOP'], ['SKU-1'], 100);
      const replies = await concurrently(500, (n) =>
        (clients[n % 2] as ApiClient).post('/v1/shipments', `ship-${n}`, {
          warehouse: 'SHOP',
          lines: [{ product: 'SKU-1', quantity: 1 }],
        }),
      );
      assert.deepEqual(tally(replies), { '201': 100, '409 insufficient-stock': 400 });
      assert.equal(await onHand(clients[1], 'SHOP', 'SKU-1'), 0);
      await provenMovements(clients[1]);
    },
  );

  await t.test('200 concurrent receipts on one pair over two instances all count', async () => {
    await openStock(clients[0], ['DOCK'], ['SKU-2']);
    const replies = await concurrently(200, (n) =>
      (clients[n % 2] as ApiClient).post('/v1/receipts', `receive-${n}`, {
        warehouse: 'DOCK',
        lines: [{ product: 'SKU-2', quantity: n + 1 }],
      }),
    );
    assert.deepEqual(tally(replies), { '201': 200 });
    assert.equal(await onHand(clients[1], 'DOCK', 'SKU-2'), (200 * 201) / 2);
    await provenMovements(clients[0]);
  });

  await t.test(
    'transfers there and back, 64 at a time on two instances, neither deadlock nor lose a unit',
    async () => {
      const products = ['P1', 'P2', 'P3', 'P4'];
      await openStock(clients[0], ['A', 'B'], products, 1_000);
      const replies = await concurrently(64 * 4, (n) => {
        const [from, to] = n % 4 < 2 ? ['A', 'B'] : ['B', 'A'];
        // Lines in either order: the service, not the caller, decides in which order rows are
        // locked.
        const order = n % 8 < 4 ? products : products.toReversed();
        const lines = order.map((product) => ({ product, quantity: 1 + (n % 3) }));
        return (clients[n % 2] as ApiClient).post('/v1/transfers', `move-${n}`, {
          from,
          to,
          lines,
        });
      });
      assert.deepEqual(tally(replies), { '201': 256 });
      for (const product of products) {
        const [a, b] = [
          await onHand(clients[0], 'A', product),
          await onHand(clients[1], 'B', product),
        ];
        assert.equal(a + b, 2_000);
      }
      await provenMovements(clients[0]);
    },
  );

  await t.test(
    '50 requests with one key on two instances are one posting, also after FLUSHALL and a restart',
    async () => {
      await openStock(clients[0], ['DESK'], ['SKU-3']);
      const body = { warehouse: 'DESK', lines: [{ product: 'SKU-3', quantity: 7 }] };
      const send = (client: ApiClient) => client.post('/v1/receipts', 'po-1', body);
      const replies = await concurrently(50, (n) => send(clients[n % 2] as ApiClient));
      assert.deepEqual(tally(replies), { '201': 50 });
      const first = (replies[0] as Reply).text;
      assert.deepEqual(
        replies.map(({ text }) => text),
        replies.map(() => first),
      );
      const fresh = replies.filter(({ headers }) => !headers.has('idempotent-replayed'));
      assert.equal(fresh.length, 1);
      assert.equal(new Set(replies.map(({ headers }) => headers.get('location'))).size, 1);

      await redis.flush();
      assert.equal((await send(clients[1])).text, first);
      // A restart of both: two processes that share nothing with those before but the database.
      const restarted = await Promise.all([start(), start()]);
      await redis.flush();
      for (const service of restarted) {
        const reply = await send(apiClient(service));
        assert.deepEqual([reply.status, reply.text], [201, first]);
        assert.equal(reply.headers.get('idempotent-replayed'), 'true');
      }
      const last = apiClient(restarted[0]);
      assert.equal(await onHand(last, 'DESK', 'SKU-3'), 7);
      const page = await expect<{ items: unknown[] }>(
        last.get('/v1/movements?warehouse=DESK'),
        200,
      );
      assert.equal(page.items.length, 1);
    },
  );
});
