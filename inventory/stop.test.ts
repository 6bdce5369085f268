import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  createTestDatabase,
  environment,
  startService,
  startTestRedis,
  type TestService,
  waitFor,
} from '@onhand/fixtures';
import { createClient } from '@redis/client';
import type pg from 'pg';
import { processIdentity } from './runtime/processes.ts';
import { apiClient, openStock, tally } from './testing/apiClient.ts';
import { openSession, quantities, waitingSessions } from './testing/pipelineRig.ts';
import { Traffic } from './testing/traffic.ts';

async function startOne(t: TestContext, more: Record<string, string> = {}) {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, LOG_LEVEL: 'warn', ...more };
  const service = await startService(t, { env });
  const session = await openSession(t, database.url);
  return { database, redis, env, service, client: apiClient(service), session };
}

/** What a stopped service still holds up: claims of keys without a record, and leases of locks. */
async function heldInRedis(url: string, session: pg.Client): Promise<string[]> {
  const client = createClient({ url });
  await client.connect();
  try {
    const { rows } = await session.query('SELECT key FROM idempotency_records');
    const recorded = new Set(rows.map(({ key }) => key));
    const keys = await client.keys('*');
    return keys.filter((key) =>
      key.startsWith('lock:')
        ? key.includes(':product_warehouse:')
        : !recorded.has(key.replace(/^idempotency:.*\{demo\}:/, '')),
    );
  } finally {
    client.destroy();
  }
}

const receipt = { warehouse: 'W1', lines: [{ product: 'A', quantity: 1 }] };

test('SIGTERM answers everything that is queued, gives claims and leases back, and frees the port', async (t) => {
  const { service, client, session, redis, env } = await startOne(t, {
    ONHAND_QUEUE_WAIT_MS: '60000',
  });
  await openStock(client, ['W1'], ['A'], 1);
  await session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const closes: Promise<void>[] = [];
  const send = (key: string) => {
    const sent = postWith(agent, service, key);
    closes.push(sent.closed);
    return sent.reply;
  };
  const replies = [send('first')];
  await waitFor('the first waits for the row', async () => (await waitingSessions(session)) === 1);
  for (let n = 0; n < 39; n++) replies.push(send(`queued-${n}`));
  await waitFor('the others are queued', async () => {
    return (await client.get('/metrics')).text.includes('onhand_queue_commands 39\n');
  });
  const stopped = service.stop();
  await waitFor('it takes no connection any more', () => isClosed(service.url));
  await session.query('COMMIT');
  const answers = await Promise.all(replies);
  assert.deepEqual(answers, Array(40).fill(201));
  const before = performance.now();
  assert.equal(await stopped, 0, service.output());
  // Far below the keep-alive time-out of 72 s: connections that only wait do not hold it up.
  assert.ok(performance.now() - before < 3_000);
  await Promise.all(closes);
  assert.deepEqual(await quantities(session), { level: 41, ledger: 41, movements: 41 });
  assert.deepEqual(await heldInRedis(redis.url, session), []);
  const port = new URL(service.url).port;
  const again = await startService(t, { env: { ...env, PORT: port } });
  assert.equal(again.url, service.url);
});

test('SIGTERM under load ends with 0 and loses nothing that was acknowledged', async (t) => {
  const first = await startOne(t, { ONHAND_API_KEY: 'a-key-that-outlives-the-process' });
  let { service } = first;
  const traffic = new Traffic(() => [apiClient(service)]);
  await traffic.start(32);
  await traffic.acknowledgedMore(300);
  assert.equal(await service.stop(), 0, service.output());
  await traffic.stop();
  assert.deepEqual(await heldInRedis(first.redis.url, first.session), []);
  assert.deepEqual(
    Object.keys(tally(traffic.replies)).filter((answer) => !/^201|503 overloaded/.test(answer)),
    [],
  );
  service = await startService(t, { env: first.env });
  await traffic.reconcile();
});

test('a stop that cannot finish ends at its time-out', async (t) => {
  await stopWithStuckCommand(t, { ONHAND_STOP_TIMEOUT_MS: '300' }, async () => {});
});

test('a second signal ends a stop at once', async (t) => {
  await stopWithStuckCommand(t, { ONHAND_STOP_TIMEOUT_MS: '600000' }, async ({ url, pid }) => {
    await waitFor('it is stopping', () => isClosed(url));
    // The first ones may count as those that Ctrl-C sends twice.
    await waitFor('a signal ends it', () => {
      if (processIdentity(pid) === undefined) return true;
      process.kill(pid, 'SIGINT');
      return false;
    });
  });
});

test('a signal that comes twice at once, as Ctrl-C under npm does, is one', async (t) => {
  const { service, client, session } = await startOne(t);
  await openStock(client, ['W1'], ['A'], 1);
  await session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const reply = client.post('/v1/receipts', 'late', receipt);
  await waitFor('it waits for the row', async () => (await waitingSessions(session)) === 1);
  process.kill(service.pid, 'SIGINT');
  process.kill(service.pid, 'SIGTERM');
  await waitFor('it is stopping', () => isClosed(service.url));
  const stopped = service.stop();
  await session.query('COMMIT');
  assert.equal((await reply).status, 201);
  assert.equal(await stopped, 0, service.output());
});

/** A connection of its own, and all that was received on it. */
async function dial(t: TestContext, { url }: TestService) {
  const { hostname, port } = new URL(url);
  const socket = net.connect(Number(port), hostname);
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let received = '';
  socket.on('data', (data) => {
    received += data;
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return { socket, closed, received: () => received };
}

/** A receipt as it is sent. @param sent how many characters of the body */
function receiptText({ apiKey }: TestService, key: string, sent?: number): string {
  const body = JSON.stringify(receipt);
  const head = [
    'POST /v1/receipts HTTP/1.1',
    'Host: x',
    `Authorization: Bearer ${apiKey}`,
    `Idempotency-Key: ${key}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body.slice(0, sent)}`;
}

test('a connection that says nothing, or not all of its request, holds no stop up', async (t) => {
  const { service } = await startOne(t);
  for (const text of ['', 'GET /healthz HTT', receiptText(service, 'half', 1)]) {
    (await dial(t, service)).socket.write(text);
  }
  const used = await dial(t, service);
  used.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await waitFor('it is answered', async () => used.received().endsWith('{"status":"ok"}'));
  used.socket.write('GET /healthz HTT');
  assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
  const before = performance.now();
  assert.equal(await service.stop(), 0, service.output());
  // Far below the time-out of a stop.
  assert.ok(performance.now() - before < 5_000);
});

test('a stop answers a request that is in progress, whatever stands behind it', async (t) => {
  const { service, client, session } = await startOne(t);
  await openStock(client, ['W1'], ['A'], 1);
  await session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const [used, half] = [await dial(t, service), await dial(t, service)];
  used.socket.write(receiptText(service, 'k1'));
  await waitFor('the batch waits', async () => (await waitingSessions(session)) === 1);
  used.socket.write(receiptText(service, 'k2', 1));
  half.socket.write(receiptText(service, 'k3', 1));
  const stopped = service.stop();
  await half.closed;
  await session.query('COMMIT');
  assert.equal(await stopped, 0, service.output());
  await used.closed;
  assert.match(used.received(), /^HTTP\/1.1 201 /);
});

test('a stop answers all requests that one connection has sent, in their order', async (t) => {
  const { service, client, session } = await startOne(t);
  await openStock(client, ['W1'], ['A'], 1);
  await session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const { socket, closed, received } = await dial(t, service);
  socket.write(receiptText(service, 'k1') + receiptText(service, 'k2'));
  await waitFor('the batch waits', async () => (await waitingSessions(session)) === 1);
  const stopped = service.stop();
  await waitFor('it takes no connection any more', () => isClosed(service.url));
  await session.query('COMMIT');
  await closed;
  assert.equal(received().match(/HTTP\/1.1 201 /g)?.length, 2, received());
  assert.equal(received().match(/^connection: close/gim)?.length, 1, received());
  assert.equal(await stopped, 0, service.output());
});

/**
 * A connection that asks for three large answers at once and has taken the beginning of the first.
 */
async function downloadThree(t: TestContext, service: TestService) {
  const path = '/docs/js/scalar.js';
  const { byteLength } = await (await fetch(service.url + path)).arrayBuffer();
  const { hostname, port } = new URL(service.url);
  const socket = net.connect(Number(port), hostname);
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let bytes = 0;
  const closed = new Promise<number>((resolve) => socket.once('close', () => resolve(bytes)));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(3));
  await new Promise<void>((resolve) => {
    socket.on('data', (data) => {
      if (bytes === 0) socket.pause();
      bytes += data.length;
      resolve();
    });
  });
  // The other two have been written when one that was asked for behind them has arrived.
  await (await fetch(service.url + path)).arrayBuffer();
  return { socket, closed, bytesAll: 3 * byteLength };
}

test('a stop lets answers that are being sent arrive whole', async (t) => {
  const { service } = await startOne(t);
  const { socket, closed, bytesAll } = await downloadThree(t, service);
  const half = await dial(t, service);
  half.socket.write(receiptText(service, 'half', 1));
  const stopped = service.stop();
  // By then all is closed for which a stop does not wait.
  await half.closed;
  socket.resume();
  const bytes = await closed;
  assert.ok(bytes > bytesAll, `${bytes} bytes of ${bytesAll} and three heads`);
  assert.equal(await stopped, 0, service.output());
  assert.doesNotMatch(service.output(), /took too long/);
});

test('a client that does not take its answer holds a stop up for a part of its time', async (t) => {
  const { service } = await startOne(t, { ONHAND_STOP_TIMEOUT_MS: '2000' });
  await downloadThree(t, service);
  assert.equal(await service.stop(), 0, service.output());
  assert.match(service.output(), /closed 1 connections that took too long/);
});

test('a stop answers requests that were sent before it, on connections that were not accepted yet', async (t) => {
  const { service } = await startOne(t);
  // It heeds signals when it answers, a moment after it says that it listens.
  assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
  process.kill(service.pid, 'SIGSTOP');
  const sent = await Promise.all(
    Array.from({ length: 40 }, async () => {
      const connection = await dial(t, service);
      connection.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      return connection;
    }),
  );
  const stopped = service.stop();
  process.kill(service.pid, 'SIGCONT');
  await Promise.all(sent.map(({ closed }) => closed));
  for (const { received } of sent) assert.match(received(), /^HTTP\/1.1 200 .*"ok"}$/s);
  assert.equal(await stopped, 0, service.output());
});

test('SIGTERM to npm start stops the service in order', async (t) => {
  const { url } = await createTestDatabase(t);
  const env = { ...environment, PORT: '0', DATABASE_URL: url, LOG_LEVEL: 'info' };
  const own = { ONHAND_API_KEY: 'a-key-of-this-test' };
  const npm = spawn('npm', ['start'], {
    cwd: path.resolve(import.meta.dirname, '..'),
    env: { ...env, ...own },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  t.after(() => {
    // All that is left of its group, if anything is.
    if (npm.pid !== undefined && processIdentity(npm.pid) !== undefined)
      process.kill(-npm.pid, 'SIGKILL');
  });
  let output = '';
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk;
    });
  }
  // The pipes close when the last process that has them is gone, the service too.
  const closed = once(npm, 'close');
  await waitFor('it listens', () => /listening on http/.test(output), 60_000);
  npm.kill('SIGTERM');
  await closed;
  assert.match(output, /stopping: SIGTERM/);
  assert.ok(await isClosed(/listening on (http:\S+)/.exec(output)?.[1] as string));
});

async function stopWithStuckCommand(
  t: TestContext,
  env: Record<string, string>,
  onStopping: (service: TestService) => Promise<void>,
): Promise<void> {
  const { service, client, session } = await startOne(t, env);
  await openStock(client, ['W1'], ['A'], 1);
  await session.query('BEGIN; SELECT FROM levels FOR UPDATE');
  const reply = client.post('/v1/receipts', 'stuck', receipt).then(
    ({ status }) => status,
    () => 'lost',
  );
  await waitFor('it waits for the row', async () => (await waitingSessions(session)) === 1);
  const stopped = service.stop();
  await onStopping(service);
  assert.equal(await stopped, 1, service.output());
  assert.equal(await reply, 'lost', 'what was not done was not promised');
}

function postWith(agent: Agent, { url, apiKey }: { url: string; apiKey: string }, key: string) {
  let close = () => {};
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  const reply = new Promise<number>((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    };
    const sent = request(`${url}/v1/receipts`, { agent, method: 'POST', headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('socket', (socket) => socket.once('close', close)).once('error', reject);
    sent.end(JSON.stringify(receipt));
  });
  return { reply, closed };
}

async function isClosed(url: string): Promise<boolean> {
  try {
    await fetch(`${url}/healthz`, { headers: { connection: 'close' } });
    return false;
  } catch {
    return true;
  }
}
