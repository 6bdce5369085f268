import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type Answer, IdempotencyError } from '@onhand/idempotency';
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import { Type } from 'typebox';
import {
  ApiError,
  catalogue,
  type ErrorCode,
  problemOf,
  retryAfterSeconds,
  validationFailed,
} from '../errors.ts';
import { OverloadedError } from '../pipeline/batch.ts';
import { DatabaseUnavailableError } from '../pipeline/settleBatch.ts';
import { failureOf } from '../postgres/failures.ts';
import { problemType } from './answers.ts';
import type { RouteDescription } from './describeOperation.ts';
import { faultAt } from './validation.ts';

/** A refusal as it goes out, alone or as one result of a batch. */
export interface Problem {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly retryAfterSeconds: number | undefined;
}

/**
 * The problem document for any error.
 *
 * What is not known here is a defect: the caller learns only that, and the log has the rest.
 */
export function problemFor(error: unknown): Problem {
  const { code, detail, members, waitSeconds } = describe(error);
  const { status, retryable } = catalogue[code];
  return {
    status,
    body: problemOf(code, detail, members),
    retryAfterSeconds: waitSeconds ?? (retryable && status !== 500 ? retryAfterSeconds : undefined),
  };
}

interface Description {
  code: ErrorCode;
  detail: string;
  members?: Readonly<Record<string, unknown>>;
  waitSeconds?: number | undefined;
}

function describe(error: unknown): Description {
  if (error instanceof ApiError) {
    return { code: error.code, detail: error.message, members: error.members };
  }
  if (error instanceof IdempotencyError) return describeIdempotency(error);
  if (error instanceof OverloadedError) {
    return { code: 'overloaded', detail: `Nothing was done: ${error.message}.` };
  }
  // Before those of the database: a client that hangs up within its body is a broken connection,
  // too.
  const refused = describeFastify(error as FastifyError);
  if (refused !== undefined) return refused;
  if (isUnavailable(error)) {
    return {
      code: 'database-unavailable',
      detail: 'The database cannot be reached at the moment.',
    };
  }
  return internal;
}

const internal: Description = {
  code: 'internal-error',
  detail: 'The service failed. The log has the cause under the request id.',
};

function describeIdempotency(error: IdempotencyError): Description {
  if (error.code === 'body-not-canonical') {
    return describe(validationFailed([faultAt('', error.message.replace(/\.$/, ''))]));
  }
  return {
    code: error.code in catalogue ? (error.code as ErrorCode) : 'internal-error',
    detail: error.message,
    waitSeconds: error.retryAfterSeconds,
  };
}

/** Errors of the database that say nothing about the request. Others are defects of ours. */
function isUnavailable(error: unknown): boolean {
  return error instanceof DatabaseUnavailableError || failureOf(error) !== 'refused';
}

function describeFastify(error: FastifyError): Description | undefined {
  switch (error.statusCode) {
    case 413:
      return { code: 'payload-too-large', detail: 'The body is larger than 1 MiB.' };
    case 415:
      return {
        code: 'unsupported-media-type',
        detail: 'Send the body as Content-Type: application/json.',
      };
    case 429:
      return {
        code: 'rate-limited',
        detail: 'Too many requests with this API key, or from this address.',
      };
    case 400:
    case 414:
      return describe(
        validationFailed([faultAt('', `cannot be read: ${error.message.slice(0, 300)}`)]),
      );
    default:
      return undefined;
  }
}

/** Every error leaves as `application/problem+json`: thrown, or refused by Fastify. */
export function addProblems(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = problemFor(error);
    if (problem.status >= 500) request.log.error({ err: error }, 'request failed');
    return sendProblem(reply, problem);
  });
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.retryAfterSeconds !== undefined) {
    reply.header('retry-after', problem.retryAfterSeconds);
  }
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  // As bytes, like recorded problems: to a string Fastify would add a charset that the type has
  // not.
  const body = Buffer.from(JSON.stringify(problem.body));
  return reply.code(problem.status).type(problemType).send(body);
}

/** Answers what is no HTTP request, or no whole one: there is only the socket that it came from. */
export function answerUnreadable(
  error: Error & { code?: string },
  socket: Socket,
  requestId: string,
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const refusal =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new ApiError('request-timeout', 'The request did not arrive in time.')
      : validationFailed([faultAt('', 'cannot be read as an HTTP request')]);
  const { status, body } = problemFor(refusal);
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `X-Request-Id: ${requestId}`,
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(text)}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`, () => socket.destroy());
}

/** The code of a recorded answer, for metrics: `ok`, or which refusal it is. */
export function codeOf({ status, body }: Pick<Answer, 'status' | 'body'>): string {
  if (status < 400) return 'ok';
  const code = /"code":"([a-z-]+)"/.exec(body.toString())?.[1];
  return code !== undefined && code in catalogue ? code : 'other';
}

const problemPageDescription: RouteDescription = {
  refusals: ['not-found'],
  answers: {
    200: {
      content: {
        'application/json': Type.Object({
          code: Type.Enum(Object.keys(catalogue)),
          type: Type.String(),
          status: Type.Integer(),
          title: Type.String(),
          explanation: Type.String(),
          retryable: Type.Boolean({ description: 'The same request may succeed later.' }),
        }),
      },
    },
  },
};

/** `/problems/<code>`: what each `type` of a problem document leads to. */
export function addProblemPages(app: FastifyInstance): void {
  app.get<{ Params: { code: string } }>(
    '/problems/:code',
    {
      config: { described: problemPageDescription },
      schema: { tags: ['Operations'], summary: 'What a problem code means' },
    },
    async ({ params }, reply) => {
      if (!Object.hasOwn(catalogue, params.code)) {
        throw new ApiError('not-found', `There is no problem code ${params.code}.`);
      }
      const code = params.code as ErrorCode;
      const { status, title, explanation, retryable } = catalogue[code];
      return reply.send({ code, type: `/problems/${code}`, status, title, explanation, retryable });
    },
  );
}
