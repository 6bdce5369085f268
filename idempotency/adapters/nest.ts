import type { ServerResponse } from 'node:http';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { NEVER, type Observable } from 'rxjs';
import { exchange, requestLine, sendFailure } from '../http/node-exchange.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { readParsedBody } from '../http/parsed-body.ts';
import { type Body, Protection, type RequestIdempotency } from '../http/protection.ts';
import { bodyOfRequest, type FastifyBody } from './fastify-body.ts';

/** The part of an Express or Fastify request, as Nest hands it out, that is used here. */
export interface NestRequest {
  originalUrl: string;
  body?: unknown;
  headers: Record<string, string | string[] | undefined>;
  raw?: ServerResponse['req'];
  idempotency?: RequestIdempotency | null | undefined;
}

type NestResponse = ServerResponse & { raw?: ServerResponse; hijack?: () => unknown };

/**
 * Idempotency as a NestJS 11 interceptor, on Express or Fastify: global, on a controller or a
 * route.
 *
 * As a provider, of `APP_INTERCEPTOR` say, it is closed by Nest with the application. Nest does not
 * know the end of one that is handed to `useGlobalInterceptors` or `@UseInterceptors`: close it.
 *
 * Guards run before it, pipes after it: a body that a pipe refuses (400) frees its key again.
 * Handlers find `request.idempotency`. On Express a body that no parser read is read here, up to
 * `bodyBytesMax`, and left in `request.body` as a Buffer. A form that a parser took to pieces, a
 * `FileInterceptor` in front of this one say, is refused where there is a key. What is no HTTP
 * request, a message of a microservice, a WebSocket or a GraphQL resolver say, passes through
 * unprotected.
 */
export class IdempotencyInterceptor implements NestInterceptor {
  private readonly protection: Protection<NestRequest>;

  constructor(options: ProtectionOptions<NestRequest>) {
    this.protection = new Protection(options);
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    // What has no response of its own has none to hold back, nor a key in its headers.
    if (context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const request = http.getRequest<NestRequest>();
    if (!this.protection.covers(rawOf(request).method ?? 'GET')) return next.handle();
    const response = http.getResponse<NestResponse>();
    if (await this.starts(request, response)) return next.handle();
    // Answered below Nest, which must not answer again.
    response.hijack?.();
    return NEVER;
  }

  /** @returns whether the handler is to run; false once the request was answered without it */
  private async starts(request: NestRequest, response: NestResponse): Promise<boolean> {
    const res = response.raw ?? response;
    const scope = await this.protection.settings.scope(request);
    const line = requestLine(rawOf(request), request.originalUrl);
    const lent = lendHeaders(response, this.protection.settings.headers);
    const incoming = { ...line, body: () => this.bodyOf(request), scope };
    const started = Promise.withResolvers<true>();
    const answered = exchange(this.protection, incoming, res, (idempotency) => {
      // Fastify sends them itself, but for those that the handler removes.
      for (const name of lent) res.removeHeader(name);
      request.idempotency = idempotency;
      started.resolve(true);
    });
    // Until the handler starts Nest may still answer an error; after that the exchange does.
    if (!(await Promise.race([started.promise, answered]))) return false;
    answered.catch(() => sendFailure(res));
    return true;
  }

  private bodyOf(request: NestRequest): Body | Promise<Body> {
    const { bodyBytesMax } = this.protection.settings;
    if (request.raw) return bodyOfRequest(request as FastifyBody, bodyBytesMax);
    return readParsedBody(rawOf(request), bodyBytesMax);
  }

  /**
   * Releases the claims of requests that still run; without `query`, waits for them up to
   * `leaseMs`.
   */
  close(): Promise<void> {
    return this.protection.close();
  }

  /** Nest calls this when the application closes, where the interceptor is one of its providers. */
  onApplicationShutdown(): Promise<void> {
    return this.close();
  }
}

/**
 * Puts the headers that hooks and guards have set on a Fastify reply on Node's response, for what
 * is answered below Fastify; not those that are recorded, for a repeat has the ones of its record.
 *
 * @returns their names
 */
function lendHeaders(response: NestResponse, recorded: readonly string[]): string[] {
  const { raw } = response;
  if (!raw) return [];
  const names: string[] = [];
  for (const [name, value] of Object.entries(response.getHeaders())) {
    if (value === undefined || recorded.includes(name) || raw.hasHeader(name)) continue;
    raw.setHeader(name, value);
    names.push(name);
  }
  return names;
}

/** Node's own request; on Express it is the one that Nest hands out. */
function rawOf(request: NestRequest): ServerResponse['req'] {
  return request.raw ?? (request as unknown as ServerResponse['req']);
}
