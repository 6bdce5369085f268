import { Agent, type IncomingMessage, request } from 'node:http';

/** What came back, byte for byte. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Send {
  readonly port: number;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** Patience with one attempt. */
  readonly timeoutMs: number;
  /** Hangs up this long after sending, whatever has come by then. */
  readonly hangUpMs?: number | undefined;
}

/** A small HTTP client: one attempt, no retry, and it can be rude. */
export class HttpClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  /** @returns undefined when there was no whole answer */
  send(options: Send): Promise<Reply | undefined> {
    const { port, method, path, headers, body, timeoutMs, hangUpMs } = options;
    return new Promise((resolve) => {
      const outgoing = request({ port, method, path, headers, agent: this.#agent });
      const patience = setTimeout(() => outgoing.destroy(), hangUpMs ?? timeoutMs);
      const end = (reply: Reply | undefined) => {
        clearTimeout(patience);
        resolve(reply);
      };
      outgoing.on('error', () => end(undefined));
      outgoing.on('close', () => end(undefined));
      outgoing.on('response', (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', () => end(undefined));
        incoming.on('end', () => {
          const { statusCode = 0, headers: received } = incoming;
          if (!incoming.complete) return end(undefined);
          end({ status: statusCode, headers: received, body: Buffer.concat(chunks).toString() });
        });
      });
      outgoing.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
