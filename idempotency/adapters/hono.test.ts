import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { serve } from '@hono/node-server';
import { Hono } from 'hono';
import { honoIdempotency } from './hono.ts';

test('what other middleware adds to a recorded answer is in neither answer', async (t) => {
  const query = async () => [];
  const idempotency = honoIdempotency({ singleTenant: true, query });
  t.after(() => idempotency.close());
  const web = new Hono();
  web.use(idempotency, async (c, next) => {
    await next();
    c.res.headers.set('etag', '"added"');
  });
  web.post('/things', async (c) => {
    const answer = await c.get('idempotency')?.record(query, { status: 201, body: { a: 1 } });
    assert.ok(answer);
    return new Response(new Uint8Array(answer.body), answer);
  });
  const answers = [];
  for (let i = 0; i < 2; i++) {
    const sent = await web.request('/things', {
      method: 'POST',
      headers: { 'idempotency-key': 'k' },
    });
    const { etag: tag, 'content-type': type } = Object.fromEntries(sent.headers);
    answers.push({ status: sent.status, tag, type, text: await sent.text() });
  }
  assert.deepEqual(answers[0], answers[1]);
  assert.equal(answers[0]?.type, 'application/json; charset=utf-8');
});

test('a body that other middleware read counts as well', async (t) => {
  const idempotency = honoIdempotency({ singleTenant: true });
  t.after(() => idempotency.close());
  const web = new Hono();
  web.use(async (c, next) => {
    await c.req.json();
    return next();
  }, idempotency);
  web.post('/things', async (c) => c.json(await c.req.json(), 201));
  const server = serve({ fetch: web.fetch, port: 0, hostname: '127.0.0.1' }) as Server;
  await once(server, 'listening');
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/things`;
  const send = (json: object) =>
    fetch(url, {
      method: 'POST',
      headers: { 'idempotency-key': 'k', 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(json),
    });
  const first = await send({ a: 1 });
  assert.deepEqual([first.status, await first.json()], [201, { a: 1 }]);
  const [again, other] = [await send({ a: 1 }), await send({ a: 2 })];
  assert.deepEqual([again.headers.get('idempotent-replayed'), other.status], ['true', 422]);
});
