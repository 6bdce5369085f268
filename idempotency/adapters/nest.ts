import type { ServerResponse } from 'node:http';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { NEVER, type Observable } from 'rxjs';
import { exchange, requestLine, sendFailure } from '../http/node-exchange.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { readParsedBody } from '../http/parsed-body.ts';
import { type Incoming, Protection, type RequestIdempotency } from '../http/protection.ts';
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
 * Idempotency as a NestJS 11 interceptor, on Express or Fastify: global, on a controller or a route.
 *
 * Guards run before it, pipes after it: a body that a pipe refuses (400) frees its key again.
 * Handlers find `request.idempotency`. On Express a body that no parser read is read here, up to
 * `bodyBytesMax`, and left in `request.body` as a Buffer. A form that a parser took to pieces, a
 * `FileInterceptor` in front of this one say, is refused where there is a key.
 */
export class IdempotencyInterceptor implements NestInterceptor {
  private readonly protection: Protection<NestRequest>;

  constructor(options: ProtectionOptions<NestRequest>) {
    this.protection = new Protection(options);
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<NestRequest>();
    const raw = request.raw ?? (request as unknown as ServerResponse['req']);
    if (!this.protection.covers(raw.method ?? 'GET')) return next.handle();
    const response = http.getResponse<NestResponse>();
    const scope = await this.protection.settings.scope(request);
    const line = requestLine(raw, request.originalUrl);
    const incoming = { ...line, body: await this.bodyOf(request), scope };
    const started = Promise.withResolvers<'running'>();
    const answered = exchange(
      this.protection,
      incoming,
      response.raw ?? response,
      (idempotency) => {
        request.idempotency = idempotency;
        started.resolve('running');
      },
    );
    // Until the handler starts Nest may still answer an error; after that the exchange does.
    const early = await Promise.race([started.promise, answered]);
    if (early === 'running') {
      answered.catch(() => sendFailure(response.raw ?? response));
      return next.handle();
    }
    // Answered below Nest, which must not answer again.
    response.hijack?.();
    return NEVER;
  }

  private bodyOf(request: NestRequest): Incoming['body'] | Promise<Incoming['body']> {
    const { bodyBytesMax } = this.protection.settings;
    if (request.raw) return bodyOfRequest(request as FastifyBody, bodyBytesMax);
    return readParsedBody(request as unknown as ServerResponse['req'], bodyBytesMax);
  }

  /** Nest calls this when the application closes. */
  async onApplicationShutdown(): Promise<void> {
    await this.protection.close();
  }
}
