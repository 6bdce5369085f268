import type { IncomingMessage, ServerResponse } from 'node:http';
import { exchange, requestLine } from '../http/node-exchange.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { readParsedBody } from '../http/parsed-body.ts';
import { Protection, type RequestIdempotency } from '../http/protection.ts';

/** The part of an Express request that is used here. */
export interface ExpressRequest extends IncomingMessage {
  originalUrl: string;
  body?: unknown;
  idempotency?: RequestIdempotency | undefined;
}

export interface ExpressMiddleware {
  (req: ExpressRequest, res: ServerResponse, next: (error?: unknown) => void): void;
  /**
   * Releases the claims of requests that still run; without `query`, waits for them up to
   * `leaseMs`.
   */
  close(): Promise<void>;
}

/**
 * Idempotency as Express 5 middleware, for an app, a router or one route.
 *
 * Put it behind authentication (for `scope`) and body parsers. Where there is a key, a body that no
 * parser read is read here, up to `bodyBytesMax`, and left in `req.body` as a Buffer; and a form
 * that was taken to pieces, by multer say, is refused, for its files are unseen.
 */
export function expressIdempotency(options: ProtectionOptions<ExpressRequest>): ExpressMiddleware {
  const protection = new Protection(options);
  const middleware: ExpressMiddleware = (req, res, next) => {
    if (!protection.covers(req.method ?? 'GET')) return next();
    protect(protection, req, res, next).catch(next);
  };
  middleware.close = () => protection.close();
  return middleware;
}

async function protect(
  protection: Protection<ExpressRequest>,
  req: ExpressRequest,
  res: ServerResponse,
  next: (error?: unknown) => void,
): Promise<void> {
  const scope = await protection.settings.scope(req);
  const body = () => readParsedBody(req, protection.settings.bodyBytesMax);
  const incoming = { ...requestLine(req, req.originalUrl), body, scope };
  await exchange(protection, incoming, res, (idempotency) => {
    req.idempotency = idempotency;
    next();
  });
}
