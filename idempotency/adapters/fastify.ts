import type { OutgoingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Capture, sendRecorded } from '../http/capture.ts';
import { requestLine, sendFailure, sendProblem } from '../http/node-exchange.ts';
import type { ProtectionOptions } from '../http/options.ts';
import { problemOf } from '../http/problem.ts';
import { type Outcome, Protection, type RequestIdempotency } from '../http/protection.ts';
import { bodyOfRequest } from './fastify-body.ts';
import { markOptedOut, protectedRoutes } from './fastify-routes.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Null where the request is not protected. */
    idempotency: RequestIdempotency | null;
  }
  interface FastifyContextConfig {
    /**
     * False leaves this route unprotected. Default true. At start-up it is named all the same where
     * it was declared on the very instance of the plugin: Fastify does not show its configuration.
     */
    idempotency?: boolean;
  }
}

export interface FastifyIdempotencyOptions extends ProtectionOptions<FastifyRequest> {
  /** Called at start-up with the routes that are protected. Default: logs them at level info. */
  onProtected?: (routes: readonly string[]) => void;
}

/**
 * Idempotency as a Fastify 5 plugin: protects the routes of the instance it is registered on,
 * whether they were declared before or after it, and those of the instances inside.
 *
 * Start-up fails when that is no route at all. Handlers run after validation, so a request that
 * validation refuses claims nothing. A body that its parser leaves to the handler, or takes to
 * pieces as those of multipart do, is refused where there is a key; a stream is read up to
 * `bodyBytesMax` and replaced. A repeat is sent below Fastify, without onSend hooks: they have made
 * of the recorded answer what it is.
 */
export async function fastifyIdempotency(
  app: FastifyInstance,
  options: FastifyIdempotencyOptions,
): Promise<void> {
  const protection = new Protection(options);
  if (!app.hasRequestDecorator('idempotency')) app.decorateRequest('idempotency', null);
  // Named, so that the start-up check finds this very hook on the routes that have it.
  const hook = `idempotency_${++registrations}`;
  const handler = (request: FastifyRequest, reply: FastifyReply) =>
    protects(protection, request) ? protect(protection, request, reply) : Promise.resolve();
  Object.defineProperty(handler, 'name', { value: hook });
  app.addHook('preHandler', handler as never);
  app.addHook('onRoute', (route) => {
    if (route.config?.idempotency === false) markOptedOut(route);
  });
  app.addHook('onReady', async () => {
    const routes = protectedRoutes(app, hook, protection.settings.methods);
    if (routes.length === 0) {
      throw new Error(
        'Idempotency protects no route: register it on the instance that declares the routes.',
      );
    }
    if (options.onProtected) options.onProtected(routes);
    else app.log.info({ routes }, `idempotency protects ${routes.join(', ')}`);
  });
  app.addHook('onClose', () => protection.close());
}

let registrations = 0;
// Without a scope of its own: its hooks belong to the instance that registers it.
Object.assign(fastifyIdempotency, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: '@onhand/idempotency',
});

function protects(protection: Protection<FastifyRequest>, request: FastifyRequest): boolean {
  if (!protection.covers(request.method)) return false;
  return request.routeOptions.config.idempotency !== false;
}

async function protect(
  protection: Protection<FastifyRequest>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  let scope: string;
  try {
    // Awaited where it must be: each wait is a turn of the queue that every request pays.
    const given = protection.settings.scope(request);
    scope = typeof given === 'string' ? given : await given;
  } catch (error) {
    return refuse(reply, error);
  }
  const body = () => bodyOfRequest(request, protection.settings.bodyBytesMax);
  const incoming = { ...requestLine(request.raw, request.originalUrl), body, scope };
  return new Promise((resolve, reject) => {
    let capture: Capture | undefined;
    const run = (idempotency: RequestIdempotency | undefined) => {
      request.idempotency = idempotency ?? null;
      capture = new Capture(reply.raw, protection.settings);
      resolve();
      return capture.captured;
    };
    protection.answer(incoming, run).then(
      (outcome) => {
        if (capture) sendCaptured(request, reply, capture, outcome);
        else if ('recorded' in outcome) {
          sendRepeat(request, reply, outcome, protection.settings.headers);
          resolve();
        }
      },
      (error) => {
        if (capture) fail(request, reply, capture, error);
        else refuse(reply, error).then(resolve, reject);
      },
    );
  });
}

async function refuse(reply: FastifyReply, error: unknown): Promise<void> {
  const problem = problemOf(error);
  if (!problem) throw error;
  await reply.code(problem.status).headers(problem.headers).send(Buffer.from(problem.body));
}

/**
 * Answers below Fastify, as the answer was recorded: an onSend hook has had its turn with these
 * bytes. What hooks set on this reply before is kept, as long as it is no header that is recorded.
 */
function sendRepeat(
  request: FastifyRequest,
  reply: FastifyReply,
  outcome: Extract<Outcome, { recorded: unknown }>,
  replayed: readonly string[],
): void {
  const { raw } = reply;
  const headers = reply.getHeaders() as OutgoingHttpHeaders;
  for (const name of replayed) {
    if (headers[name] === undefined) continue;
    delete headers[name];
    raw.removeHeader(name);
  }
  reply.hijack();
  try {
    sendRecorded(raw, outcome, headers);
  } catch (error) {
    fail(request, reply, undefined, error);
  }
}

function sendCaptured(
  request: FastifyRequest,
  reply: FastifyReply,
  capture: Capture,
  outcome: Outcome,
): void {
  try {
    capture.send(outcome);
  } catch (error) {
    fail(request, reply, capture, error);
  }
}

/** Fastify counts the reply as sent, so this answers below it. */
function fail(
  request: FastifyRequest,
  reply: FastifyReply,
  capture: Capture | undefined,
  error: unknown,
): void {
  request.log.error({ err: error }, 'the answer could not be recorded or sent');
  capture?.restore();
  capture?.forgetHeaders();
  if (!sendProblem(reply.raw, error)) sendFailure(reply.raw);
}
