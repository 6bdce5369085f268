import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Cleanup } from '@onhand/fixtures';

/** Where a proxied server listens: as `net.connect` takes it. */
export type Target = { readonly path: string } | { readonly host: string; readonly port: number };

/** One proxied connection. */
export interface Link {
  /** Ends both sides at once; what is under way is lost. */
  cut(): void;
  /** Sends the server what was kept from it. */
  forward(chunk: Buffer): void;
}

export interface ProxyTaps {
  /** Sees what the client sends before the server does. @returns false to let it vanish */
  onRequest?(chunk: Buffer, link: Link): boolean;
  /** Sees what the server answers before the client does. @returns false to let it vanish */
  onReply?(chunk: Buffer, link: Link): boolean;
  /** Called when an answer has gone to the client. */
  onDelivered?(): void;
  /** A server that does not answer the end of a connection. Default false. */
  halfOpen?: boolean;
  /** A network this far away: how long each answer travels, in ms. Default 0. */
  replyDelayMs?: number;
}

export interface TcpProxy {
  readonly port: number;
  /** Where new connections lead; changes when a server comes back elsewhere. */
  target: Target;
  /** Ends every connection. */
  cutAll(): void;
}

/** A TCP server in front of another, to watch, delay and break what passes. */
export async function startProxy(
  cleanup: Cleanup,
  target: Target,
  taps: ProxyTaps = {},
): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const cutAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const options = { noDelay: true, allowHalfOpen: taps.halfOpen ?? false };
  const server = createServer(options, (client) => {
    const upstream = connect({ ...proxy.target });
    const link: Link = {
      cut: () => {
        client.destroy();
        upstream.destroy();
      },
      forward: (chunk) => void upstream.write(chunk),
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', link.cut).on('close', () => {
        sockets.delete(socket);
        link.cut();
      });
    }
    client.on('data', (chunk) => {
      if (taps.onRequest?.(chunk, link) !== false) upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (taps.onReply?.(chunk, link) === false) return;
      const deliver = () => client.write(chunk, () => taps.onDelivered?.());
      if (taps.replyDelayMs === undefined) deliver();
      else setTimeout(deliver, taps.replyDelayMs);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.after(() => {
    server.close();
    cutAll();
  });
  const proxy = { port: (server.address() as AddressInfo).port, target, cutAll };
  return proxy;
}

/** The socket that a connection URL of PostgreSQL names. */
export function targetOf(databaseUrl: string): Target {
  const url = new URL(databaseUrl);
  const port = Number(url.port || 5432);
  const folder = url.searchParams.get('host');
  if (folder?.startsWith('/')) return { path: `${folder}/.s.PGSQL.${port}` };
  return { host: url.hostname, port };
}

/** The same database through a proxy. */
export function through({ port }: TcpProxy, databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.delete('host');
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return url.href;
}
