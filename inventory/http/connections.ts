import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** How long a stop waits for the rest of a request that is on its way. */
const arrivalMs = 1_000;

/** The open connections of a server, each with the answers that are not sent yet. */
export class Connections {
  readonly #open = new Map<Socket, Set<ServerResponse>>();

  /** Add it in front of every other hook. */
  watch(app: FastifyInstance): void {
    app.server.on('connection', (socket) => {
      this.#open.set(socket, new Set());
      socket.once('close', () => this.#open.delete(socket));
    });
    app.addHook('onRequest', (request, reply, done) => {
      this.#open.get(request.raw.socket)?.add(reply.raw);
      done();
    });
    app.addHook('onResponse', (request, reply, done) => {
      this.#open.get(request.raw.socket)?.delete(reply.raw);
      done();
    });
  }

  /** The answer to a request that has arrived whole, if a connection still owes one. */
  owed(socket: Socket): ServerResponse | undefined {
    return this.#open
      .get(socket)
      ?.values()
      .find(({ req }) => req.complete);
  }

  /**
   * Closes connections while the service stops, each behind the last answer that it owes.
   *
   * Node waits for those that it does not count as idle: that have never sent a request, as browsers
   * and load balancers open them ahead, or not all of one.
   */
  closeWhenStopping(app: FastifyInstance): void {
    let stopping = false;
    app.addHook('preClose', (done) => {
      stopping = true;
      for (const socket of this.#open.keys()) if (socket.bytesRead === 0) socket.destroy();
      setTimeout(() => {
        for (const socket of this.#open.keys()) if (!this.owed(socket)) socket.destroy();
      }, arrivalMs).unref();
      done();
    });
    // Kept alive, it would hold the stop up for as long as its keep-alive time-out.
    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (stopping) reply.header('connection', 'close');
      done();
    });
  }
}
