import assert from 'node:assert/strict';
import { test } from 'node:test';
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
