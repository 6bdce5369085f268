import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { Link, type Shape } from './link.ts';

/** Says everything back. */
const echo = createServer((socket) => {
  socket.on('error', () => {});
  socket.pipe(socket);
}).listen(0, '127.0.0.1');
await once(echo, 'listening');
after(() => echo.close());

async function open(shape?: Shape): Promise<{ link: Link; client: Socket; heard: () => string }> {
  const link = await Link.listen('test', { port: (echo.address() as AddressInfo).port });
  after(() => link.close());
  if (shape) link.shape(shape);
  const client = connect(link.port, '127.0.0.1');
  client.on('error', () => {});
  let text = '';
  client.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    client.emit('heard');
  });
  await Promise.race([once(client, 'connect').catch(() => {}), closed(client)]);
  return { link, client, heard: () => text };
}

/** Not `once`: a reset is an error first. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function hears(client: Socket, heard: () => string, text: string): Promise<void> {
  while (heard() !== text) await once(client, 'heard');
}

for (const shape of [
  { kind: 'open' },
  { kind: 'delay', ms: 5 },
  { kind: 'dribble', bytes: 3 },
] as const) {
  test(`a link with ${shape.kind} passes every byte in order, and the end`, async () => {
    const { client, heard } = await open(shape);
    client.write('one two ');
    client.write('three');
    await hears(client, heard, 'one two three');
    client.end();
    await closed(client);
  });
}

test('a black hole holds bytes back until it heals', async () => {
  const { link, client, heard } = await open();
  client.write('a');
  await hears(client, heard, 'a');
  link.shape({ kind: 'black-hole' });
  client.write('b');
  const { client: other } = await open();
  other.end('ping');
  await closed(other);
  assert.equal(heard(), 'a');
  link.heal();
  await hears(client, heard, 'ab');
});

test('a black hole holds back that a side has ended', async () => {
  const { link, client, heard } = await open();
  client.write('a');
  await hears(client, heard, 'a');
  link.shape({ kind: 'black-hole' });
  let isHealed = false;
  const end = closed(client).then(() => isHealed);
  client.end();
  // Longer than the end of a side takes to come back: another connection's, over an open link.
  const { client: other } = await open();
  other.end();
  await closed(other);
  isHealed = true;
  link.heal();
  assert.equal(await end, true);
});

test('a half-open link loses replies, and resets the connection when it heals', async () => {
  const { link, client, heard } = await open();
  client.write('a');
  await hears(client, heard, 'a');
  const reset = closed(client);
  link.shape({ kind: 'half-open' });
  client.write('b');
  const { client: other, heard: otherHeard } = await open();
  other.write('ping');
  await hears(other, otherHeard, 'ping');
  link.heal();
  await reset;
  assert.equal(heard(), 'a');
});

test('a cut resets connections, and a new one gets through', async () => {
  const { link, client } = await open();
  const reset = closed(client);
  link.cut();
  await reset;
  const again = connect(link.port, '127.0.0.1');
  again.end('x');
  assert.equal(String((await once(again, 'data'))[0]), 'x');
});

test('a link that refuses, or aims at nobody, resets new connections', async () => {
  const { client } = await open({ kind: 'refuse' });
  if (!client.closed) await closed(client);
  assert.ok(client.destroyed);
});
