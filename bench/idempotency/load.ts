import { connect, type Socket } from 'node:net';

/** Keep-alive connections that each send the next request when the last was answered. */
export interface Load {
  port: number;
  connections: number;
  requests: number;
  body: string;
  /** Key of request number i. */
  key: (i: number) => string;
}

/** @returns requests per second; throws when an answer is not 201 */
export async function run(load: Load): Promise<number> {
  let next = 0;
  const began = performance.now();
  await Promise.all(Array.from({ length: load.connections }, () => drive(load, () => next++)));
  return load.requests / ((performance.now() - began) / 1_000);
}

function drive(load: Load, next: () => number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(load.port, '127.0.0.1').setNoDelay();
    let buffer = '';
    sendNext(socket, load, next());
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.on('data', (chunk) => {
      buffer += chunk.toString('latin1');
      const end = buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/content-length: (\d+)/i.exec(buffer)?.[1]);
      if (buffer.length < end + 4 + length) return;
      if (!buffer.startsWith('HTTP/1.1 201')) return reject(new Error(buffer.slice(0, 300)));
      buffer = '';
      sendNext(socket, load, next());
    });
  });
}

function sendNext(socket: Socket, { requests, body, key }: Load, i: number): void {
  if (i >= requests) {
    socket.end();
    return;
  }
  socket.write(
    `POST /things HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n` +
      `Idempotency-Key: ${key(i)}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
}
