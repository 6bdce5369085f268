import http from 'node:http';
import https from 'node:https';

export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** With its query. */
  readonly path: string;
  readonly body?: string;
  readonly key?: string;
  /** Default {@link silenceMsMax}. */
  readonly timeoutMs?: number;
}

/** Longer than every wait of the service under load, short enough to notice a dead one. */
const silenceMsMax = 30_000;

/** Keep-alive connections to one service, with one API key. */
export class Connection {
  readonly #base: URL;
  readonly #authorization: string;
  readonly #transport: typeof http | typeof https;
  readonly #agent: http.Agent;

  /** @param socketsMax connections at once; further calls wait for one */
  constructor(options: { url: string; apiKey: string; socketsMax: number }) {
    this.#base = new URL(options.url);
    this.#authorization = `Bearer ${options.apiKey}`;
    this.#transport = this.#base.protocol === 'https:' ? https : http;
    this.#agent = new this.#transport.Agent({ keepAlive: true, maxSockets: options.socketsMax });
  }

  /** @throws the socket's error, or one that says the service stayed silent; it may have acted */
  call({ method, path, body, key, timeoutMs = silenceMsMax }: Call): Promise<Reply> {
    const headers: Record<string, string | number> = { authorization: this.#authorization };
    if (key !== undefined) headers['idempotency-key'] = `"${key}"`;
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = Buffer.byteLength(body);
    }
    const { hostname, port, pathname } = this.#base;
    return new Promise((resolve, reject) => {
      const request = this.#transport.request({
        // Node names an IPv6 host without the brackets that a URL has.
        host: hostname.replace(/^\[|\]$/g, ''),
        port,
        path: pathname.replace(/\/$/, '') + path,
        method,
        headers,
        agent: this.#agent,
        timeout: timeoutMs,
      });
      request.on('response', (response) => collect(response).then(resolve, reject));
      request.on('error', reject);
      request.on('timeout', () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.end(body);
    });
  }

  /** Ends every connection, also those in use. */
  close(): void {
    this.#agent.destroy();
  }
}

async function collect(response: http.IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const body = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}
