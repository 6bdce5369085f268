import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** A proxy between two unix sockets that can lose replies, hold them back or cut connections. */
export class RedisProxy {
  readonly socket: string;
  private readonly server: Server;
  private readonly connections = new Set<Socket>();
  private mode: 'pass' | 'cut-next-reply' | 'hold' = 'pass';
  private readonly held: (() => void)[] = [];
  private replyLost = Promise.withResolvers<void>();

  private constructor(socket: string, target: string) {
    this.socket = socket;
    this.server = createServer((inbound) => this.join(inbound, connect(target)));
  }

  static async start(target: string): Promise<RedisProxy> {
    const proxy = new RedisProxy(`${target}.proxy`, target);
    await rm(proxy.socket, { force: true });
    proxy.server.listen(proxy.socket);
    await once(proxy.server, 'listening');
    return proxy;
  }

  /** The next reply is swallowed and its connection cut. @returns when that happened */
  loseNextReply(): Promise<void> {
    this.mode = 'cut-next-reply';
    this.replyLost = Promise.withResolvers();
    return this.replyLost.promise;
  }

  /** Replies are held back until {@link pass}, connections stay open. */
  hold(): void {
    this.mode = 'hold';
  }

  pass(): void {
    this.mode = 'pass';
    for (const deliver of this.held.splice(0)) deliver();
  }

  async stop(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    this.server.close();
  }

  private join(inbound: Socket, outbound: Socket): void {
    for (const [socket, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      this.connections.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.connections.delete(socket);
        other.destroy();
      });
    }
    inbound.on('data', (chunk) => outbound.write(chunk));
    outbound.on('data', (chunk) => {
      if (this.mode === 'pass') inbound.write(chunk);
      if (this.mode === 'hold') this.held.push(() => inbound.write(chunk));
      if (this.mode !== 'cut-next-reply') return;
      this.mode = 'pass';
      inbound.destroy();
      this.replyLost.resolve();
    });
  }
}
