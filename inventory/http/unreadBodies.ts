import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { finished } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** Sixteen times the largest body: what a client overshoots by, not what one could live off. */
export const unreadBytesMax = 16 * 1024 * 1024;

/**
 * A client that writes all before it reads needs this long at most; a stop waits for less than its
 * time-out.
 */
const unreadMs = 5_000;

/**
 * Discards what still comes of a body that was answered before it was read: too large, without an
 * API key, to no route.
 *
 * A socket that is closed with bytes unread is reset, and the reset overtakes the answer. So the
 * answer goes out, our side is closed behind it if it was the last, and the rest is read and
 * dropped (RFC 9112, section 9.6). Past `unreadBytesMax` or `unreadMs` the connection is reset
 * after all.
 *
 * Add it behind `writeTogether`: by then a body that came with its head is complete.
 */
export function discardUnreadBodies(app: FastifyInstance): void {
  app.addHook('onSend', ({ raw }, reply, _payload, done) => {
    discardUnread(raw, reply);
    done();
  });
}

/** The same for one request, where no hooks run. */
export function discardUnread(request: IncomingMessage, reply: FastifyReply): void {
  if (request.complete || request.destroyed) return;
  if (Number(request.headers['content-length']) > unreadBytesMax) {
    reply.header('connection', 'close');
  }
  const { socket } = request;
  const giveUp = setTimeout(() => socket.destroy(), unreadMs);
  let bytesLeft = unreadBytesMax;
  request.on('data', (chunk: Buffer) => {
    bytesLeft -= chunk.length;
    if (bytesLeft < 0) socket.destroy();
  });
  const closeWhenRead = holdOpen(socket);
  finished(request, { writable: false }, () => {
    clearTimeout(giveUp);
    closeWhenRead();
  });
}

/**
 * Node's HTTP server ends the socket of a last answer by `destroySoon`: until told otherwise only
 * our side of it closes.
 * @returns gives `destroySoon` back, and calls it if it was called meanwhile
 */
function holdOpen(socket: Socket): () => void {
  let closing = false;
  socket.destroySoon = () => {
    closing = true;
    socket.end();
  };
  return () => {
    socket.destroySoon = Socket.prototype.destroySoon;
    if (closing) socket.destroySoon();
  };
}
