import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { addAuthentication, type Principal } from './authentication.ts';

test('a key is trusted for 5 s from the question to the database, however slow the answer', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const askedAt: number[] = [];
  const principal: Principal = { tenant: 'demo', role: 'reader', name: 'ci' };
  const app = Fastify();
  t.after(() => app.close());
  addAuthentication(app, async () => {
    askedAt.push(now);
    now += 4_000;
    return principal;
  });
  app.get('/', { config: { role: 'reader' } }, async () => 'ok');
  const request = async () => {
    const { statusCode } = await app.inject({
      url: '/',
      headers: { authorization: 'Bearer a-key' },
    });
    assert.equal(statusCode, 200);
  };

  await request();
  now = 4_999;
  await request();
  assert.deepEqual(askedAt, [0]);
  now = 5_000;
  await request();
  assert.deepEqual(askedAt, [0, 5_000]);
});
