import type { Context, MiddlewareHandler } from 'hono';
import { BodyTooLarge, bodyOf } from '../http/body.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { problemOf } from '../http/problem.ts';
import {
  type Body,
  type Captured,
  type Outcome,
  Protection,
  type RequestIdempotency,
} from '../http/protection.ts';

declare module 'hono' {
  interface ContextVariableMap {
    /** Undefined where the request is not protected. */
    idempotency: RequestIdempotency | undefined;
  }
}

export type HonoIdempotency = MiddlewareHandler & {
  /**
   * Releases the claims of requests that still run; without `query`, waits for them up to
   * `leaseMs`.
   */
  close(): Promise<void>;
};

/**
 * Idempotency as Hono 4 middleware, for an app or a route. Put it behind authentication.
 *
 * Where there is a key, the body is read here, up to `bodyBytesMax`, and the handler can read it
 * again; one that other middleware read past Hono, or as a form, is refused.
 */
export function honoIdempotency(options: ProtectionOptions<Context>): HonoIdempotency {
  const protection = new Protection(options);
  const middleware: MiddlewareHandler = async (c, next) => {
    if (!protection.covers(c.req.method)) return next();
    try {
      return await protect(protection, c, next);
    } catch (error) {
      // Hono would put the headers of the handler's answer on what is answered instead of it.
      c.res = undefined;
      const problem = problemOf(error);
      if (!problem) throw error;
      c.res = new Response(problem.body, problem);
      return undefined;
    }
  };
  return Object.assign(middleware, { close: () => protection.close() });
}

async function protect(
  protection: Protection<Context>,
  c: Context,
  next: () => Promise<void>,
): Promise<Response | undefined> {
  const { settings } = protection;
  const scope = await settings.scope(c);
  const url = new URL(c.req.url);
  const outcome = await protection.answer(
    {
      method: c.req.method,
      path: url.pathname,
      query: url.search.slice(1),
      headers: c.req.header(),
      body: () => bodyOfRequest(c, settings.bodyBytesMax),
      scope,
    },
    async (idempotency) => {
      c.set('idempotency', idempotency);
      await next();
      return capture(c, settings.answerBytesMax);
    },
  );
  const response = responseOf(outcome, c, settings.headers);
  if (!response) return undefined;
  // Hono merges the headers of a response that is replaced; these are complete.
  c.res = undefined;
  c.res = response;
  return undefined;
}

function responseOf(
  outcome: Outcome,
  c: Context,
  replayed: readonly string[],
): Response | undefined {
  if ('recorded' in outcome) {
    const { status, body } = outcome.recorded;
    const headers = new Headers(outcome.recorded.headers);
    if (outcome.replayed) headers.set('idempotent-replayed', 'true');
    return new Response(bodyInit(status, body), { status, headers });
  }
  const { fresh, answer } = outcome;
  if (!fresh.body) return undefined;
  const headers = new Headers(c.res.headers);
  if (answer && !answer.body.equals(fresh.body)) headers.delete('content-length');
  if (answer) {
    // What was added to a recorded answer, by other middleware say, no replay would have.
    for (const name of replayed) headers.delete(name);
    for (const [name, value] of Object.entries(answer.headers)) headers.set(name, value);
  }
  const status = answer?.status ?? fresh.status;
  return new Response(bodyInit(status, answer?.body ?? fresh.body), { status, headers });
}

/** A Response with one of these statuses must not have a body, not even an empty one. */
function bodyInit(status: number, body: Buffer): Uint8Array<ArrayBuffer> | null {
  return status === 204 || status === 205 || status === 304 ? null : new Uint8Array(body);
}

async function bodyOfRequest(c: Context, bytesMax: number): Promise<Body> {
  const contentType = c.req.header('content-type');
  if (!c.req.raw.bodyUsed) return bodyOf(await readRequest(c, bytesMax), contentType);
  // Hono keeps what other middleware read through it; of a form not the bytes, which it would make
  // anew with another boundary each time.
  const { formData, arrayBuffer } = c.req.bodyCache;
  if (formData && !arrayBuffer) return { unseen: true };
  const kept = await c.req.arrayBuffer().catch(() => undefined);
  return kept ? bodyOf(Buffer.from(kept), contentType) : { unseen: true };
}

/** Reads the body up to the limit and gives the handler a request that has it still. */
async function readRequest(c: Context, bytesMax: number): Promise<Buffer> {
  if (!c.req.raw.body) return Buffer.alloc(0);
  if (Number(c.req.header('content-length')) > bytesMax) throw new BodyTooLarge(bytesMax);
  const { bytes, rest } = await readUpTo(c.req.raw.body, bytesMax);
  if (rest) {
    await rest.cancel();
    throw new BodyTooLarge(bytesMax);
  }
  c.req.raw = new Request(c.req.raw, { body: new Uint8Array(bytes) });
  return bytes;
}

async function capture(c: Context, bytesMax: number): Promise<Captured> {
  const { status, body } = c.res;
  const headers = Object.fromEntries(c.res.headers);
  if (!body) return { status, headers, body: Buffer.alloc(0) };
  const { bytes, rest } = await readUpTo(body, bytesMax);
  if (!rest) return { status, headers, body: bytes };
  c.res = new Response(joined(bytes, rest), c.res);
  return { status, headers, body: undefined };
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** @returns `rest` when there is more than `bytesMax` */
async function readUpTo(
  stream: ReadableStream<Uint8Array>,
  bytesMax: number,
): Promise<{ bytes: Buffer; rest: Reader | undefined }> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length <= bytesMax) {
    const { done, value } = await reader.read();
    if (done) return { bytes: Buffer.concat(chunks), rest: undefined };
    chunks.push(value);
    length += value.length;
  }
  return { bytes: Buffer.concat(chunks), rest: reader };
}

function joined(first: Buffer, rest: Reader): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(first),
    async pull(controller) {
      const { done, value } = await rest.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => rest.cancel(reason),
  });
}
