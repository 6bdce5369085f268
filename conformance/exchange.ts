import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

/** Header lines in order; the same name may come twice. */
export type HeaderLines = readonly (readonly [string, string])[];

export interface Outgoing {
  method: string;
  url: string;
  headers: HeaderLines;
  body: Buffer;
}

export interface Received {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** One request and what came of it, as evidence. */
export interface Exchange {
  sent: Outgoing;
  /** Undefined when the connection ended without an answer. */
  received: Received | undefined;
  error: string | undefined;
  ms: number;
}

export interface SendOptions {
  timeoutMs: number;
  /** Hang up: after the whole request was written, or after half of its body. */
  hangUp?: 'after-request' | 'mid-body';
}

/** A URL that may be shown to others. */
export function withoutCredential(url: string): string {
  const { username, password, protocol, host, pathname, search } = new URL(url);
  return username || password ? `${protocol}//…@${host}${pathname}${search}` : url;
}

/** Sends one request on a connection of its own; resolves also when it fails. */
export function send(sent: Outgoing, { timeoutMs, hangUp }: SendOptions): Promise<Exchange> {
  const began = performance.now();
  return new Promise((resolve) => {
    const done = (received?: Received, error?: string) =>
      resolve({ sent, received, error, ms: performance.now() - began });
    const url = new URL(sent.url);
    const make = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const lines = [
      ['Host', url.host],
      ['Content-Length', String(sent.body.length)],
      ...sent.headers,
    ];
    const req = make(url, { method: sent.method, headers: lines.flat() as never, agent: false });
    const timer = setTimeout(() => req.destroy(new Error('no answer in time')), timeoutMs);
    req.on('response', (res: IncomingMessage) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () =>
        done({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }),
      );
      res.on('error', (error) => done(undefined, error.message));
    });
    req.on('error', (error: NodeJS.ErrnoException) =>
      done(undefined, error.message || error.code || 'connection failed'),
    );
    req.on('close', () => {
      clearTimeout(timer);
      done(undefined, 'the connection ended');
    });
    write(req, sent.body, hangUp);
  });
}

function write(
  req: ReturnType<typeof httpRequest>,
  body: Buffer,
  hangUp: SendOptions['hangUp'],
): void {
  if (hangUp === 'mid-body') {
    req.write(body.subarray(0, body.length / 2), () => req.destroy());
  } else if (hangUp === 'after-request') {
    // A moment for the server to begin, so that the handler runs while its client is gone.
    req.end(body, () => setTimeout(() => req.destroy(), 5));
  } else {
    req.end(body);
  }
}
