import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestDatabase, startService, startTestRedis, waitFor } from '@onhand/fixtures';
import { apiClient, expect, openStock } from './testing/apiClient.ts';
import { startProxy, targetOf, through } from './testing/proxy.ts';

/**
 * Counts round trips by cause: what the service sends after it received an answer begins the next.
 * Answers travel for a while, so that everything that does not wait for one has left before it.
 */
class RoundTrips {
  completed = 0;
  #begun = 0;
  #delivered = true;

  get isQuiet(): boolean {
    return this.#delivered && this.completed === this.#begun;
  }

  readonly taps = {
    replyDelayMs: 40,
    onRequest: () => {
      if (this.#delivered) this.#begun += 1;
      this.#delivered = false;
      return true;
    },
    onDelivered: () => {
      this.#delivered = true;
      this.completed = this.#begun;
    },
  };
}

test('a receipt alone takes four round trips, and a release one more: what it names', async (t) => {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const trips = new RoundTrips();
  const postgresProxy = await startProxy(t, targetOf(database.url), trips.taps);
  const redisProxy = await startProxy(t, { path: redis.socketPath }, trips.taps);
  const service = await startService(t, {
    env: {
      DATABASE_URL: through(postgresProxy, database.url),
      REDIS_URL: `redis://127.0.0.1:${redisProxy.port}`,
    },
  });
  const client = apiClient(service);
  await openStock(client, ['W1'], ['SKU-1']);
  const goods = { warehouse: 'W1', lines: [{ product: 'SKU-1', quantity: 1 }] };
  const receive = (n: number) => expect(client.post('/v1/receipts', `receive-${n}`, goods), 201);
  /** Round trips of most of a few commands of a kind. */
  const usual = async (send: (n: number) => Promise<unknown>) => {
    // The first ones make the level row, prepare statements and load scripts.
    for (let n = 0; n < 3; n++) await send(n);
    const counts: number[] = [];
    for (let n = 3; n < 8; n++) {
      // Claim and lease are given back behind the answer, where nobody waits for it.
      await waitFor('all answers are delivered', () => trips.isQuiet);
      const start = trips.completed;
      await send(n);
      counts.push(trips.completed - start);
    }
    // One of them may have had to look up the API key again.
    return counts.toSorted((a, b) => a - b)[3];
  };
  // Claim, lock, load, write with COMMIT.
  assert.equal(await usual(receive), 4);

  const held: string[] = [];
  for (let n = 0; n < 8; n++) {
    const reservation = await expect(client.post('/v1/reservations', `reserve-${n}`, goods), 201);
    held.push(reservation.id as string);
  }
  const release = (n: number) =>
    expect(client.post(`/v1/reservations/${held[n]}/release`, `release-${n}`, {}), 201);
  assert.equal(await usual(release), 5);
});
