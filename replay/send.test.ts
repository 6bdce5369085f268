import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Connection } from './connection.ts';
import { GaveUpError, type SendOptions, send } from './send.ts';

interface Answer {
  status: number;
  body?: string;
  retryAfter?: string;
}

/** An HTTP server that gives these answers in turn, and drops the connection for undefined. */
async function serve(t: TestContext, answers: (Answer | undefined)[]) {
  const seen: { key: unknown; body: string; at: number }[] = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ key: request.headers['idempotency-key'], body, at: performance.now() });
    const answer = answers[Math.min(seen.length, answers.length) - 1];
    if (answer === undefined) return void request.socket.destroy();
    if (answer.retryAfter !== undefined) response.setHeader('retry-after', answer.retryAfter);
    response.writeHead(answer.status).end(answer.body ?? '{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connection = new Connection({ url, apiKey: 'k', socketsMax: 2 });
  t.after(() => {
    connection.close();
    server.closeAllConnections();
    server.close();
  });
  const post = (options?: SendOptions) =>
    send(connection, { method: 'POST', path: '/v1/receipts', key: 'k1', body: '{"a":1}' }, options);
  return { seen, post };
}

const problem = (code: string) => JSON.stringify({ code });

const undecided: [name: string, answer: Answer | undefined, cause: string][] = [
  ['a broken connection', undefined, 'connection'],
  ['503', { status: 503, body: problem('overloaded') }, '503 overloaded'],
  ['408', { status: 408, body: problem('request-timeout') }, '408 request-timeout'],
  ['429', { status: 429, body: problem('rate-limited') }, '429 rate-limited'],
  ['an answer of a proxy', { status: 502, body: '<html>' }, '502 status-502'],
  [
    'a duplicate in flight',
    { status: 409, body: problem('request-in-flight') },
    '409 request-in-flight',
  ],
];
for (const [name, answer, cause] of undecided) {
  test(`${name} is followed by the same request with the same key`, async (t) => {
    const { seen, post } = await serve(t, [answer, { status: 201 }]);
    const causes: string[] = [];
    const reply = await post({ onRetry: (each) => causes.push(each) });
    assert.equal(reply.status, 201);
    assert.deepEqual(causes, [cause]);
    assert.deepEqual(
      seen.map(({ key, body }) => [key, body]),
      [
        ['"k1"', '{"a":1}'],
        ['"k1"', '{"a":1}'],
      ],
    );
  });
}

test('Retry-After is obeyed', async (t) => {
  const { seen, post } = await serve(t, [{ status: 503, retryAfter: '1' }, { status: 201 }]);
  await post();
  const [first, second] = seen;
  assert.ok((second?.at ?? 0) - (first?.at ?? 0) >= 990);
});

test('a refusal is a decision, and not tried again', async (t) => {
  const { seen, post } = await serve(t, [{ status: 409, body: problem('insufficient-stock') }]);
  assert.equal((await post()).status, 409);
  assert.equal(seen.length, 1);
});

test('it gives up when its patience ends, with the last cause', async (t) => {
  const { post } = await serve(t, [{ status: 503, body: problem('overloaded') }]);
  await assert.rejects(post({ patienceMs: 120 }), (error) => {
    assert.ok(error instanceof GaveUpError);
    assert.match(error.message, /^POST \/v1\/receipts: 503 overloaded$/);
    return true;
  });
});

test('a signal ends the waiting at once', async (t) => {
  const { seen, post } = await serve(t, [{ status: 503, retryAfter: '5' }]);
  const controller = new AbortController();
  const onRetry = () => queueMicrotask(() => controller.abort());
  await assert.rejects(post({ signal: controller.signal, onRetry }), GaveUpError);
  assert.equal(seen.length, 2);
});
