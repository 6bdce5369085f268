import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * How a link treats the bytes on it.
 *
 * - `open`: passes them on.
 * - `delay`: each piece waits `ms` first.
 * - `dribble`: `bytes` at a time, a millisecond apart.
 * - `black-hole`: nothing passes in either direction, the end of a side included; new connections
 *   are accepted and get silence; what was held back arrives when it heals, as after
 *   retransmission.
 * - `half-open`: requests pass, replies are lost; healing resets the connections that lost some.
 * - `refuse`: new connections are reset.
 */
export type Shape =
  | { readonly kind: 'open' | 'black-hole' | 'half-open' | 'refuse' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'dribble'; readonly bytes: number };

export type Target = { readonly path: string } | { readonly port: number };

const open: Shape = { kind: 'open' };

/** A TCP proxy on a free loopback port, whose target and behaviour change while it runs. */
export class Link {
  readonly name: string;
  readonly port: number;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #target: Target | undefined;
  #shape: Shape = open;
  #changed = Promise.withResolvers<void>();

  private constructor(name: string, server: Server) {
    this.name = name;
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#accept(socket));
  }

  static async listen(name: string, target?: Target): Promise<Link> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const link = new Link(name, server);
    link.#target = target;
    return link;
  }

  /** Connections on it. */
  get connected(): number {
    return this.#connections.size;
  }

  /** @param target undefined: nobody is there, connections are refused */
  aim(target: Target | undefined): void {
    this.#target = target;
  }

  shape(shape: Shape): void {
    const wasLossy = this.#shape.kind === 'half-open';
    this.#shape = shape;
    if (wasLossy) for (const each of [...this.#connections]) if (each.hasLost) each.reset();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  heal(): void {
    this.shape(open);
  }

  /** Resets every connection on it. */
  cut(): void {
    for (const each of [...this.#connections]) each.reset();
  }

  async close(): Promise<void> {
    this.#target = undefined;
    this.shape({ kind: 'refuse' });
    this.cut();
    this.#server.close();
  }

  #accept(client: Socket): void {
    client.on('error', () => {});
    if (this.#target === undefined || this.#shape.kind === 'refuse') {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ ...this.#target, allowHalfOpen: true, noDelay: true } as never);
    const connection = new Connection(client, upstream);
    this.#connections.add(connection);
    connection.ended.then(() => this.#connections.delete(connection));
    void connection.run({
      way: () => this.#way(connection),
      pass: (chunk, to, isReply) => this.#pass(connection, chunk, to, isReply),
    });
  }

  /** Resolves when there is a way through, or nobody left to use it. */
  async #way(from: Connection): Promise<void> {
    while (this.#shape.kind === 'black-hole' && !from.isEnded) {
      await Promise.race([this.#changed.promise, from.ended]);
    }
  }

  async #pass(from: Connection, chunk: Buffer, to: Socket, isReply: boolean): Promise<void> {
    await this.#way(from);
    const shape = this.#shape;
    if (shape.kind === 'half-open' && isReply) {
      from.hasLost = true;
      return;
    }
    if (shape.kind === 'delay') await delay(shape.ms);
    if (shape.kind !== 'dribble') return write(to, chunk);
    for (let at = 0; at < chunk.length; at += shape.bytes) {
      const isStill = this.#shape === shape;
      await write(to, isStill ? chunk.subarray(at, at + shape.bytes) : chunk.subarray(at));
      if (!isStill) return;
      await delay(1);
    }
  }
}

interface Carrier {
  way(): Promise<void>;
  pass(chunk: Buffer, to: Socket, isReply: boolean): Promise<void>;
}

class Connection {
  hasLost = false;
  isEnded = false;
  readonly ended: Promise<void>;
  readonly #client: Socket;
  readonly #upstream: Socket;

  constructor(client: Socket, upstream: Socket) {
    this.#client = client;
    this.#upstream = upstream;
    upstream.on('error', () => {});
    const closed = (socket: Socket) => new Promise((resolve) => socket.once('close', resolve));
    this.ended = Promise.race([closed(client), closed(upstream)]).then(() => {
      this.isEnded = true;
      this.reset();
    });
  }

  async run(carrier: Carrier): Promise<void> {
    await Promise.all([
      pump(this.#client, this.#upstream, false, carrier),
      pump(this.#upstream, this.#client, true, carrier),
    ]).catch(() => this.reset());
  }

  reset(): void {
    for (const socket of [this.#client, this.#upstream]) {
      if (socket.destroyed) continue;
      // A Unix socket knows no reset; of one that is ending, Node would leak the handle.
      if (socket.remoteFamily === undefined || socket.writableEnded) socket.destroy();
      else socket.resetAndDestroy();
    }
  }
}

async function pump(from: Socket, to: Socket, isReply: boolean, carrier: Carrier): Promise<void> {
  for await (const chunk of from) await carrier.pass(chunk as Buffer, to, isReply);
  await carrier.way();
  to.end();
}

async function write(to: Socket, chunk: Buffer): Promise<void> {
  if (to.destroyed) throw new Error('the other side is gone');
  if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
}
