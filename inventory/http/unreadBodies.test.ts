import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import net from 'node:net';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { waitFor } from '@onhand/fixtures';
import { startApi } from './testing/api.ts';
import { assertProblem, type Caller, exchange, STATUS } from './testing/caller.ts';
import { unreadBytesMax } from './unreadBodies.ts';

const api = await startApi({ after });
const { writer } = await api.tenant();
const { anonymous } = api;

const piece = Buffer.alloc(64 * 1024, ' ');
const chunk = Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')]);
const pieces = 128;
const times = 4;

const refusals: [what: string, caller: Caller, path: string, code: string][] = [
  ['with an API key', writer, '/v1/receipts', 'payload-too-large'],
  ['without an API key', anonymous, '/v1/receipts', 'unauthenticated'],
  ['to no route', writer, '/v1/nope', 'not-found'],
  ['to no path', writer, '/v1/products/%zz', 'validation-failed'],
];
for (const [what, caller, path, code] of refusals) {
  test(`8 MiB ${what} are answered, whole or in chunks`, async () => {
    for (let i = 0; i < times; i += 1) {
      assertProblem(await caller.post(path, Buffer.concat(new Array(pieces).fill(piece))), code);
      assertProblem(await caller.post(path, inChunks()), code);
    }
  });

  test(`8 MiB ${what} are answered to a client that writes all before it reads`, async () => {
    for (const framing of ['content-length', 'transfer-encoding'] as const) {
      const answer = await writeThenRead(caller, path, framing);
      assert.match(answer, new RegExp(`^HTTP/1.1 ${STATUS[code]} .*"code":"${code}"`, 's'));
    }
  });

  test(`a body without end ${what} is taken up to a bound`, async () => {
    const { answer, bytes } = await flood(caller, path);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${STATUS[code]} `));
    // What the sockets buffer on both sides comes on top.
    assert.ok(bytes < unreadBytesMax + (16 << 20), `${bytes} bytes were taken`);
  });
}

function inChunks(): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      sent += 1;
      if (sent > pieces) controller.close();
      else controller.enqueue(piece);
    },
  });
}

/** @returns the answer, which a reset would have cost */
async function writeThenRead(
  caller: Caller,
  path: string,
  framing: 'content-length' | 'transfer-encoding',
): Promise<string> {
  const whole = framing === 'content-length';
  const value = whole ? String(pieces * piece.length) : 'chunked';
  const socket = open(caller, path, { [framing]: value, connection: 'close' });
  for (let i = 0; i < pieces; i += 1) await promisify(send)(socket, whole ? piece : chunk);
  if (!whole) socket.write('0\r\n\r\n');
  const answer = await text(socket);
  socket.destroy();
  return answer;
}

function send(socket: net.Socket, bytes: Buffer, done: (error?: Error | null) => void): void {
  socket.write(bytes, done);
}

/** A connection on which the head of a request is sent. */
function open({ url, secret }: Caller, path: string, framing: Record<string, string>): net.Socket {
  const { hostname, port, host } = new URL(url);
  const headers: Record<string, string> = {
    ...framing,
    host,
    'content-type': 'application/json',
    'idempotency-key': 'k',
  };
  if (secret !== undefined) headers.authorization = `Bearer ${secret}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = net.connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  return socket;
}

/** Sends chunks until the service closes. @returns what it answered, and how much it took */
async function flood(caller: Caller, path: string): Promise<{ answer: string; bytes: number }> {
  const socket = open(caller, path, { 'transfer-encoding': 'chunked' });
  const pump = () => {
    while (socket.writable && socket.write(chunk));
  };
  let answer = '';
  socket.on('data', (data) => {
    answer += data;
  });
  socket.on('drain', pump);
  // The reset at the bound.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  pump();
  await closed;
  return { answer, bytes: socket.bytesWritten };
}

test('a client that neither sends the rest of its body nor closes is let go', async () => {
  const { hostname, port } = new URL(api.url);
  const head = 'POST /v1/receipts HTTP/1.1\r\nHost: x\r\nContent-Length: ';
  const began = performance.now();
  const answers = await Promise.all(
    ['9\r\n\r\nx', '9\r\nConnection: close\r\n\r\nx'].map((rest) =>
      exchange(Number(port), hostname, [head + rest]),
    ),
  );
  for (const answer of answers) assert.match(answer, /^HTTP\/1.1 401 /);
  assert.ok(performance.now() - began < 10_000);
});

test('a connection whose small body came late serves the next request, and closes when told', async () => {
  const { hostname, port } = new URL(api.url);
  const socket = net.connect(Number(port), hostname);
  let answers = '';
  socket.on('data', (data) => {
    answers += data;
    if (answers.endsWith('}') && !answers.includes('HTTP/1.1 200')) {
      socket.write('{}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    }
  });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write('POST /v1/receipts HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n');
  await closed;
  assert.match(answers, /^HTTP\/1.1 401 .*HTTP\/1.1 200 .*{"status":"ok"}$/s);
});

test('a body that has not arrived in time is refused, and its key is free', async (t) => {
  const { server } = api.service.app;
  const { headersTimeout, requestTimeout } = server;
  assert.deepEqual([headersTimeout, requestTimeout], [30_000, 30_000]);
  Object.assign(server, { headersTimeout: 100, requestTimeout: 100 });
  t.after(() => Object.assign(server, { headersTimeout, requestTimeout }));
  const body = '{"warehouse":"W1","lines":[{"product":"P","quantity":1}]}';
  const socket = open(writer, '/v1/receipts', { 'content-length': String(body.length) });
  socket.write(body.slice(1));
  const answer = await text(socket);
  assert.match(answer, /^HTTP\/1.1 408 Request Timeout\r\n.*"code":"request-timeout"/s);
  socket.destroy();
  await writer.put('/v1/warehouses/W1');
  await writer.put('/v1/products/P');
  await writer.did('/v1/receipts', JSON.parse(body), 'k');
});

test('a client that hangs up within its body is no failure of the service', async () => {
  const arrived = once(api.service.app.server, 'request');
  const socket = open(writer, '/v1/receipts', { 'content-length': '100' });
  socket.write('{');
  const [incoming] = (await arrived) as [IncomingMessage];
  await waitFor('the body is read', () => incoming.readableFlowing === true);
  const closed = new Promise((resolve) => incoming.once('close', resolve));
  socket.resetAndDestroy();
  await closed;
  await nextTurn();
  assert.doesNotMatch(api.logs(), /request failed/);
});
