import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

/** How long a stop waits for the rest of a request that is on its way. */
const arrivalMs = 1_000;

/** How often it is looked who does not take an answer. */
const lookMs = 1_000;

/** How long a stop goes on accepting where connections never cease to come. */
const acceptMsMax = 500;

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

  /**
   * The last answer to a request that has arrived whole which a connection owes, or a part of it:
   * a client may send several before it is answered.
   */
  owed(socket: Socket): ServerResponse | undefined {
    return Array.from(this.#open.get(socket) ?? []).findLast(({ req }) => req.complete);
  }

  /**
   * Closes connections whose client takes nothing of an answer for so long: what it leaves stays in
   * memory.
   *
   * Not those that wait for an answer, which may be long in the making, as a proof is.
   */
  closeUnread(app: FastifyInstance, msMax: number): void {
    const looking = setInterval(() => {
      for (const [socket, answers] of this.#open) {
        // They are sent in the order of their requests.
        const [first] = answers;
        const isSending = first?.writableEnded === true && !first.writableFinished;
        const isTimed = socket.timeout === msMax;
        if (isSending && !isTimed) socket.setTimeout(msMax);
        // Where nothing is owed, Node has set the time-out of an idle connection.
        else if (!isSending && isTimed && first !== undefined) socket.setTimeout(0);
      }
    }, lookMs).unref();
    app.server.once('close', () => clearInterval(looking));
  }

  /**
   * Closes connections while the service stops, each behind the last answer that it owes.
   *
   * Node waits for those that it does not count as idle: that have never sent a request, as
   * browsers and load balancers open them ahead, or not all of one.
   * @param sendMsMax how long clients may take to receive what is answered
   */
  closeWhenStopping(app: FastifyInstance, sendMsMax: number): void {
    let stopping = false;
    let isLate = false;
    this.#keepUnsent(app.server);
    app.addHook('preClose', async () => {
      stopping = true;
      const slow = setTimeout(() => {
        isLate = true;
        const count = this.#destroy((socket) => !this.#isDeciding(socket));
        if (count > 0) app.log.warn(`closed ${count} connections that took too long`);
      }, sendMsMax).unref();
      await this.#acceptWaiting(app.server, Math.min(acceptMsMax, sendMsMax));
      const quiet = setInterval(() => {
        this.#destroy((socket) => !(isLate ? this.#isDeciding(socket) : this.owed(socket)));
      }, arrivalMs).unref();
      app.server.once('close', () => {
        clearInterval(quiet);
        clearTimeout(slow);
      });
    });
    // Kept alive, it would hold the stop up for as long as its keep-alive time-out. Node closes
    // behind the first answer that says so, and Fastify says it of all that begin now.
    app.addHook('onSend', ({ raw: { socket } }, reply, _payload, done) => {
      if (stopping) {
        const last = this.owed(socket) ?? reply.raw;
        if (last === reply.raw) reply.header('connection', 'close');
        else reply.raw.removeHeader('connection');
      }
      done();
    });
  }

  /**
   * Accepts the connections that wait for it: the kernel resets them, and with them requests that
   * were sent before the stop, when their server closes. Node accepts one a turn of the event loop.
   */
  async #acceptWaiting(server: FastifyInstance['server'], msMax: number): Promise<void> {
    const until = performance.now() + msMax;
    let isNew = false;
    const onConnection = () => {
      isNew = true;
    };
    server.on('connection', onConnection);
    // To the end of this turn: the next ones are whole.
    await nextTurn();
    do {
      isNew = false;
      await nextTurn();
    } while (isNew && performance.now() < until);
    server.off('connection', onConnection);
  }

  /**
   * Node counts a connection as idle, and closes it, when the answer to its last request is
   * written, though the most of it may wait for the client to take what is in front.
   */
  #keepUnsent(server: FastifyInstance['server']): void {
    const closeIdleConnections = server.closeIdleConnections.bind(server);
    server.closeIdleConnections = () => {
      const sending = Array.from(this.#open.keys()).filter((socket) => this.owed(socket));
      for (const socket of sending) socket.destroy = () => socket;
      closeIdleConnections();
      for (const socket of sending) Reflect.deleteProperty(socket, 'destroy');
    };
  }

  /** Whether it owes an answer that is not known yet. */
  #isDeciding(socket: Socket): boolean {
    const answers = this.#open.get(socket) ?? new Set();
    return answers.values().some(({ req, writableEnded }) => req.complete && !writableEnded);
  }

  /** @returns how many */
  #destroy(isMeant: (socket: Socket) => boolean): number {
    const meant = Array.from(this.#open.keys()).filter(isMeant);
    for (const socket of meant) socket.destroy();
    return meant.length;
  }
}
