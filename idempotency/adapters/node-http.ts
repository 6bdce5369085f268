import type { IncomingMessage, ServerResponse } from 'node:http';
import { bodyOf, readBody } from '../http/body.ts';
import { exchange, requestLine, sendFailure, sendProblem } from '../http/node-exchange.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { Protection, type RequestIdempotency } from '../http/protection.ts';

/** What a protected handler is given beside request and response. */
export interface NodeContext {
  /** The whole body; the request's stream has been read. */
  body: Buffer;
  /** Undefined for methods that are not protected, or without a key where none is required. */
  idempotency: RequestIdempotency | undefined;
}

export type NodeHandler = (
  req: IncomingMessage,
  res: ServerResponse,
  context: NodeContext,
) => void | Promise<void>;

export interface NodeIdempotency {
  /** Wraps a handler for `http.createServer`. A handler that throws is answered with 500. */
  protect(handler: NodeHandler): (req: IncomingMessage, res: ServerResponse) => void;
  /**
   * Releases the claims of requests that still run; without `query`, waits for them up to
   * `leaseMs`.
   */
  close(): Promise<void>;
}

/** Idempotency for plain `node:http`. */
export function nodeIdempotency(options: ProtectionOptions<IncomingMessage>): NodeIdempotency {
  const protection = new Protection(options);
  return {
    protect: (handler) => (req, res) => void serve(protection, handler, req, res),
    close: () => protection.close(),
  };
}

async function serve(
  protection: Protection<IncomingMessage>,
  handler: NodeHandler,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  try {
    const body = await readBody(req, protection.settings.bodyBytesMax);
    const line = requestLine(req, req.url ?? '/');
    if (!protection.covers(line.method)) {
      return await handler(req, res, { body, idempotency: undefined });
    }
    const scope = await protection.settings.scope(req);
    const seen = () => bodyOf(body, req.headers['content-type']);
    const incoming = { ...line, body: seen, scope };
    await exchange(protection, incoming, res, (idempotency) =>
      handler(req, res, { body, idempotency }),
    );
  } catch (error) {
    if (!sendProblem(res, error)) sendFailure(res);
  }
}
