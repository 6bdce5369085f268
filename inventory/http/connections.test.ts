import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { waitFor } from '@onhand/fixtures';
import Fastify from 'fastify';
import { Connections } from './connections.ts';

/** Of an answer that no socket's buffers hold. */
const largeBytes = 64 << 20;
const unreadMsMax = 1_000;

/** A server whose clients may not leave an answer unread. */
async function startServer(t: TestContext) {
  const app = Fastify();
  const connections = new Connections();
  connections.watch(app);
  connections.closeUnread(app, unreadMsMax);
  const taken = Promise.withResolvers<void>();
  app.get('/large', { onResponse: async () => taken.resolve() }, () => Buffer.alloc(largeBytes));
  app.get('/late', async () => {
    await taken.promise;
    // Longer than a client may take nothing.
    await setTimeout(2 * unreadMsMax);
    return 'done';
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => app.close());
  const { port } = app.server.address() as AddressInfo;
  return {
    open: (...paths: string[]) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      t.after(() => socket.destroy());
      for (const path of paths) ask(socket, path);
      return socket;
    },
    accepted: async () => ((await once(app.server, 'connection')) as [net.Socket])[0],
  };
}

function ask(socket: net.Socket, path: string): void {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: shop\r\n\r\n`);
}

test('a client that takes nothing of its answer loses its connection', async (t) => {
  const { open, accepted } = await startServer(t);
  const socket = open('/large').pause();
  const served = await accepted();
  await once(served, 'close');
  assert.ok(served.bytesWritten > 0);
  assert.ok(socket.bytesRead < largeBytes);
});

test('so does one that has taken the answer before', async (t) => {
  const { open, accepted } = await startServer(t);
  const socket = open('/large').pause();
  const served = await accepted();
  await waitFor('it is seen to take nothing', () => served.timeout === unreadMsMax);
  let bytes = 0;
  for await (const [part] of on(socket.resume(), 'data')) {
    bytes += part.length;
    if (bytes >= largeBytes) break;
  }
  socket.pause();
  ask(socket, '/large');
  await once(served, 'close');
  assert.ok(socket.bytesRead < 2 * largeBytes);
});

test('one that takes it slowly has all of it, and then waits for the next', async (t) => {
  const { open } = await startServer(t);
  const socket = open('/large', '/late');
  let bytes = 0;
  let end = '';
  for await (const [part] of on(socket, 'data', { close: ['close'] })) {
    bytes += part.length;
    end = (end + part.toString('latin1')).slice(-4);
    if (end === 'done') break;
    if (bytes > largeBytes) continue;
    socket.pause();
    // Four times as long as a client may take nothing, in all.
    await setTimeout((4 * unreadMsMax * part.length) / largeBytes);
    socket.resume();
  }
  assert.equal(end, 'done', `closed after ${bytes} bytes`);
});
