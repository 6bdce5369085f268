import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import net from 'node:net';

/** Members of the bodies of this API, as far as tests look at them. */
export interface Body {
  id: string;
  code: string;
  type: string;
  status: string | number;
  detail: string;
  errors: { path: string; pointer: string; detail: string }[];
  items: Body[];
  next: string | null;
  movements: Record<string, unknown>[];
  lines: Record<string, unknown>[];
  posting: Body;
  results: { status: number; body: Body }[];
  answer: { status: number; headers: Record<string, string>; body: Body };
  recordedAt: string;
  expiresAt: string;
  warehouse: string;
  product: string;
  onHand: number;
  reserved: number;
  available: number;
  sequence: number;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed; an empty object where there is no JSON. */
  readonly body: Body;
}

export interface Sent {
  /**
   * A string or bytes go out as they are, a stream in chunks, anything else as JSON; undefined: no
   * body at all.
   */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** Somebody with an API key, or without. */
export class Caller {
  readonly url: string;
  readonly secret: string | undefined;

  constructor(url: string, secret: string | undefined) {
    this.url = url;
    this.secret = secret;
  }

  /** The same key, sent to another instance. */
  at({ url }: Caller): Caller {
    return new Caller(url, this.secret);
  }

  async send(method: string, path: string, { body, headers = {} }: Sent = {}): Promise<Reply> {
    const all: Record<string, string> = { ...headers };
    if (this.secret !== undefined) all.authorization ??= `Bearer ${this.secret}`;
    if (body !== undefined) all['content-type'] ??= 'application/json';
    const payload =
      body === undefined ||
      typeof body === 'string' ||
      body instanceof Uint8Array ||
      body instanceof ReadableStream
        ? body
        : JSON.stringify(body);
    const init: RequestInit = { method, headers: all, redirect: 'manual', duplex: 'half' };
    if (payload !== undefined) init.body = payload as NonNullable<RequestInit['body']>;
    const response = await fetch(`${this.url}${path}`, init);
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: (isJson ? JSON.parse(text) : {}) as Body,
    };
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return this.send('GET', path, { headers });
  }

  put(path: string, body?: unknown): Promise<Reply> {
    return this.send('PUT', path, { body });
  }

  /** A command. @param key bare; by default one that nobody else uses */
  post(path: string, body?: unknown, key: string = randomUUID()): Promise<Reply> {
    return this.send('POST', path, { body, headers: { 'idempotency-key': key } });
  }

  /** A command that must succeed. */
  async did(path: string, body?: unknown, key?: string): Promise<Reply> {
    const reply = await this.post(path, body, key);
    assert.equal(reply.status, 201, reply.text);
    return reply;
  }

  /** The level as `onHand/reserved/available@sequence`. */
  async level(warehouse: string, product: string): Promise<string> {
    const { body } = await this.get(`/v1/stock/${warehouse}/${product}`);
    return `${body.onHand}/${body.reserved}/${body.available}@${body.sequence}`;
  }

  /**
   * Bytes as they are over a socket, for what `fetch` would not send.
   * @param head request line and headers, without Host, Connection and Authorization
   * @returns the whole answer as text
   */
  raw(head: readonly string[], body: Uint8Array | string = ''): Promise<string> {
    const { hostname, port, host } = new URL(this.url);
    const lines = [...head, `Host: ${host}`, 'Connection: close'];
    if (this.secret !== undefined) lines.push(`Authorization: Bearer ${this.secret}`);
    return exchange(Number(port), hostname, [`${lines.join('\r\n')}\r\n\r\n`, body]);
  }
}

/** Sends bytes and reads until the server closes. */
export function exchange(
  port: number,
  host: string,
  parts: readonly (Uint8Array | string)[],
): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = net.connect(port, host, () => {
      for (const part of parts) socket.write(part);
    });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()));
  });
}

/** The statuses of the API's codes, as its specification has them. */
export const STATUS: Record<string, number> = {
  'validation-failed': 400,
  'idempotency-key-missing': 400,
  'idempotency-key-invalid': 400,
  unauthenticated: 401,
  forbidden: 403,
  'unknown-product': 404,
  'unknown-warehouse': 404,
  'not-found': 404,
  'insufficient-stock': 409,
  'stock-changed': 409,
  'reservation-closed': 409,
  'reservation-expired': 409,
  'already-reversed': 409,
  'request-in-flight': 409,
  'request-timeout': 408,
  'payload-too-large': 413,
  'unsupported-media-type': 415,
  'idempotency-key-reused': 422,
  'quantity-overflow': 422,
  'rate-limited': 429,
  'internal-error': 500,
  overloaded: 503,
  'database-unavailable': 503,
  'lock-server-unavailable': 503,
};

/** Asserts a problem document of RFC 9457 with this code, and its further members. */
export function assertProblem(
  reply: Pick<Reply, 'status' | 'headers' | 'text' | 'body'>,
  code: string,
  members: Record<string, unknown> = {},
): void {
  const { body, text } = reply;
  assert.equal(body.code, code, text);
  assert.equal(reply.status, STATUS[code], text);
  assert.equal(reply.headers.get('content-type'), 'application/problem+json');
  const {
    type,
    title,
    status,
    detail,
    code: _code,
    ...rest
  } = body as unknown as Record<string, unknown>;
  assert.equal(type, `/problems/${code}`);
  assert.equal(status, reply.status);
  assert.ok(typeof title === 'string' && title.length > 0);
  assert.ok(typeof detail === 'string' && detail.length > 0);
  assert.partialDeepStrictEqual(rest, members);
}

/** Asserts a 400 whose faults stand exactly at these JSON paths, in any order. */
export function assertFaults(reply: Reply, ...paths: string[]): void {
  assertProblem(reply, 'validation-failed');
  const found = new Set(reply.body.errors.map(({ path }) => path));
  assert.deepEqual([...found].toSorted(), paths.toSorted(), reply.text);
  for (const { pointer, detail } of reply.body.errors) {
    assert.match(pointer, /^(\/|$)/);
    assert.notEqual(detail, '');
  }
}
