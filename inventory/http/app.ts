import { randomBytes } from 'node:crypto';
import rateLimit from '@fastify/rate-limit';
import type { Idempotency } from '@onhand/idempotency';
import type { Locks } from '@onhand/lock';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Logger } from 'pino';
import { Type } from 'typebox';
import type { Pipeline } from '../pipeline/pipeline.ts';
import type { Preview } from '../pipeline/preview.ts';
import type { Database } from '../postgres/database.ts';
import { addAuthentication, type FindPrincipal } from './authentication.ts';
import { addCatalogueRoutes } from './catalogueRoutes.ts';
import { addCommandRoutes } from './commandRoutes.ts';
import { Connections } from './connections.ts';
import { addJsonBody, bodyBytesMax } from './jsonBody.ts';
import { addKeyRoutes } from './keyRoutes.ts';
import { addLockRoutes } from './lockRoutes.ts';
import { addMetrics, addMetricsRoute, type Metrics } from './metrics.ts';
import { addOpenApi } from './openapi.ts';
import { addOperationsRoutes, type Readiness } from './operationsRoutes.ts';
import { addPostingRoutes } from './postingRoutes.ts';
import {
  addProblemPages,
  addProblems,
  answerUnreadable,
  codeOf,
  problemFor,
  sendProblem,
} from './problems.ts';
import { headOptions, refuseHeads } from './requestHeads.ts';
import { addStockRoutes } from './stockRoutes.ts';
import { discardUnread, discardUnreadBodies } from './unreadBodies.ts';
import { validatorCompiler } from './validation.ts';
import { addVerifyRoutes } from './verifyRoutes.ts';
import { writeTogether } from './writeTogether.ts';

export interface AppOptions {
  readonly database: Database;
  readonly idempotency: Idempotency;
  readonly pipeline: Pipeline;
  readonly preview: Preview;
  readonly locks: Locks;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly findPrincipal: FindPrincipal;
  readonly logger: Logger;
  readonly retentionHours: number;
  /** Per API key and instance; 0: no limit. */
  readonly rateLimitPerSecond: number;
  /** The bound of a whole stop. */
  readonly stopTimeoutMs: number;
}

/**
 * How long a request may take to arrive: the largest body at 300 kbit/s. Node leaves it open
 * without.
 */
const requestMs = 30_000;

/** How long a client may take nothing of an answer that is being sent. */
const unreadMsMax = 60_000;

/**
 * Of the time of a stop, for answers that are being sent: the rest is for what must end behind
 * them.
 */
const sendShare = 0.8;

/** The HTTP API, ready to listen. */
export async function buildApp(options: AppOptions): Promise<FastifyInstance> {
  const newId = newRequestId();
  const connections = new Connections();
  const app = Fastify({
    loggerInstance: options.logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyBytesMax,
    // Of its two time-outs Node takes the longer one for the whole request.
    http: { ...headOptions, headersTimeout: requestMs, connectionsCheckingInterval: 1_000 },
    requestTimeout: requestMs,
    // Ids and keys in paths are up to 255 characters.
    routerOptions: { maxParamLength: 1024 },
    genReqId: newId,
    requestIdHeader: false,
    return503OnClosing: false,
    // What is in flight is answered; connections that only wait are closed.
    forceCloseConnections: 'idle',
    // Paths that cannot be decoded never reach a route, nor a hook, nor the error handler.
    frameworkErrors: (error, { id, raw }, reply) => {
      discardUnread(raw, reply);
      sendProblem(reply.header('x-request-id', id), problemFor(error));
    },
    clientErrorHandler: (error, socket) => {
      const owed = connections.owed(socket);
      if (owed === undefined) answerUnreadable(error, socket, newId({ headers: {} }));
      // What cannot be read stands behind a request whose answer comes next on the connection.
      else if (!owed.headersSent) owed.setHeader('connection', 'close');
    },
  });
  app.setValidatorCompiler(validatorCompiler as never);
  connections.watch(app);
  connections.closeUnread(app, unreadMsMax);
  addProblems(app);
  addJsonBody(app);
  addRequestIds(app);
  refuseHeads(app);
  connections.closeWhenStopping(app, sendShare * options.stopTimeoutMs);
  writeTogether(app);
  discardUnreadBodies(app);
  addMetrics(app, options.metrics);
  addAuthentication(app, options.findPrincipal);
  if (options.rateLimitPerSecond > 0) await addRateLimit(app, options.rateLimitPerSecond);
  await addOpenApi(app, options);
  await app.register(async (routes) => {
    refuseUnknownParameters(routes);
    addOperationsRoutes(routes, options.readiness);
    addMetricsRoute(routes, options.metrics);
    addProblemPages(routes);
    addCatalogueRoutes(routes, options.database);
    addCommandRoutes(routes, {
      ...options,
      onAnswer: (type, answer, replayed) =>
        options.metrics.answered(type, codeOf(answer), replayed),
    });
    addStockRoutes(routes, options.database);
    addPostingRoutes(routes, options.database);
    addKeyRoutes(routes, options.idempotency);
    addVerifyRoutes(routes, options.database);
    addLockRoutes(routes, options);
  });
  return app;
}

/**
 * A route that names no query parameters takes none: a misplaced `dryRun` must not be overheard.
 */
function refuseUnknownParameters(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if (route.config?.role === undefined || route.schema?.querystring !== undefined) return;
    route.schema = {
      ...route.schema,
      querystring: Type.Object({}, { additionalProperties: false }),
    };
  });
}

const CALLERS_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;

/** The caller's `X-Request-Id` if it is harmless, else a short one of our own. */
function newRequestId(): (request: {
  headers: Record<string, string | string[] | undefined>;
}) => string {
  const prefix = randomBytes(6).toString('base64url');
  let count = 0;
  return ({ headers }) => {
    const given = headers['x-request-id'];
    if (typeof given === 'string' && CALLERS_ID.test(given)) return given;
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}

function addRequestIds(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
}

const noRateHeaders = {
  'x-ratelimit-limit': false,
  'x-ratelimit-remaining': false,
  'x-ratelimit-reset': false,
};

async function addRateLimit(app: FastifyInstance, max: number): Promise<void> {
  await app.register(rateLimit, {
    max,
    timeWindow: 1_000,
    hook: 'preParsing',
    addHeadersOnExceeding: noRateHeaders,
    keyGenerator: ({ principal, ip }) =>
      principal === null ? ip : `${principal.tenant} ${principal.name}`,
    addHeaders: { ...noRateHeaders, 'retry-after': true },
  });
}
