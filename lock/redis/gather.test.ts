import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { redisOfFile } from '../fixtures/redisOfFile.ts';
import { createLocks, redisDriver } from '../index.ts';

const redis = redisOfFile();

test('what one turn of the event loop asks through ioredis is written in parts of eight', async (t) => {
  const client = new Redis(redis.server.port);
  t.after(() => client.disconnect());
  await client.ping();
  const locks = createLocks({ driver: redisDriver(client), prefix: 'gather' });
  await (await locks.acquire(['k'])).release();
  const { stream } = client;
  const several = t.mock.method(stream, '_writev' as 'write');
  const single = t.mock.method(stream, '_write' as 'write');
  const leases = await Promise.all(Array.from({ length: 100 }, (_, i) => locks.acquire([`k${i}`])));
  const writes = () => several.mock.callCount() + single.mock.callCount();
  const parts = Math.ceil(100 / 8);
  assert.equal(writes(), parts);
  await Promise.all(leases.map((lease) => lease.release()));
  assert.equal(writes(), 2 * parts);
  assert.equal(await client.ping(), 'PONG', 'the stream is left open');
});
