/**
 * What `/openapi.json` says of a route beyond the schemas that validate and serialise it.
 *
 * It stands beside those schemas and not in them: Fastify would write answers by them and leave out
 * what they do not name. What every route shares follows from its role and its body; what it alone
 * does it says as `config.described`.
 */

import { STATUS_CODES } from 'node:http';
import type { RouteOptions } from 'fastify';
import { catalogue, type ErrorCode } from '../errors.ts';
import { problemType } from './answers.ts';
import { ProblemAnswer } from './schemas.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    described?: RouteDescription;
  }
}

export interface RouteDescription {
  /** Refusals of its own, beside those of every route with its role and body. */
  readonly refusals?: readonly ErrorCode[];
  /** Refusals that are recorded: who repeats the request is answered with them again. */
  readonly recorded?: readonly ErrorCode[];
  readonly parameters?: readonly object[];
  /** Of the body, where more can be said than is validated at once. */
  readonly body?: object;
  /** No body says as much as an empty one. */
  readonly bodyOptional?: boolean;
  /** By status, what the schema of the answer does not say. */
  readonly answers?: Readonly<Record<number, AnswerDescription>>;
}

interface AnswerDescription {
  readonly description?: string;
  readonly headers?: readonly HeaderName[];
  /** The schema of each media type; absent: as the route's own schema has it. */
  readonly content?: Readonly<Record<string, object>>;
}

type HeaderName = keyof typeof headers;

const header = (description: string, schema: object = { type: 'string' }) => ({
  description,
  schema,
});

const headers = {
  'X-Request-Id': header('Names the request in the log: the `X-Request-Id` it came with, or ours.'),
  Location: header('The path of what was made or changed.', {
    type: 'string',
    format: 'uri-reference',
  }),
  ETag: header('The sequence of the level.', { type: 'string', pattern: '^"[0-9]+"$' }),
  'Retry-After': header(
    'Seconds after which to send the same request again. With a 409 only for `request-in-flight`.',
    {
      type: 'integer',
      minimum: 0,
    },
  ),
  'Idempotent-Replayed': header('Present on a repeat: this is the recorded first answer.', {
    type: 'string',
    enum: ['true'],
  }),
  'WWW-Authenticate': header('How to authenticate.', { type: 'string', enum: ['Bearer'] }),
};

/** What the descriptions of operations refer to. */
export const components = {
  headers,
  schemas: { Problem: ProblemAnswer },
  securitySchemes: { apiKey: { type: 'http' as const, scheme: 'bearer' } },
};

export const problemReference = { $ref: '#/components/schemas/Problem' };

interface Answer {
  description: string;
  headers?: Record<string, object>;
  content?: Record<string, { schema: object }>;
}

/** An OpenAPI operation, as far as it is completed here. */
export interface Operation {
  security?: object[];
  parameters?: object[];
  requestBody?: { required: boolean; content: Record<string, { schema: object }> };
  responses: Record<string, Answer>;
}

/** Completes what was made from the schemas of the route. */
export function describeOperation(operation: Operation, route: RouteOptions): void {
  const { role, described = {} } = route.config ?? {};
  if (role !== undefined) operation.security = [{ apiKey: [] }];
  if (described.parameters !== undefined) {
    operation.parameters = [...(operation.parameters ?? []), ...described.parameters];
  }
  if (operation.requestBody !== undefined) describeBody(operation.requestBody, described);
  describeAnswers(operation.responses, described);
  describeRefusals(operation.responses, route);
}

function describeBody(
  requestBody: NonNullable<Operation['requestBody']>,
  { body, bodyOptional }: RouteDescription,
): void {
  requestBody.required = bodyOptional !== true;
  if (body !== undefined) requestBody.content['application/json'] = { schema: body };
}

function describeAnswers(
  responses: Operation['responses'],
  { answers = {} }: RouteDescription,
): void {
  for (const status of new Set([...Object.keys(responses), ...Object.keys(answers)])) {
    const { description, headers = [], content } = answers[Number(status)] ?? {};
    const answer: Answer = {
      ...responses[status],
      description: description ?? (STATUS_CODES[status] as string),
      headers: headerReferences(headers),
    };
    if (content !== undefined) answer.content = contentOf(content);
    responses[status] = answer;
  }
}

function describeRefusals(responses: Operation['responses'], route: RouteOptions): void {
  const { recorded = [] } = route.config?.described ?? {};
  const replayed = new Set(recorded.map((code) => catalogue[code].status));
  const byStatus = Map.groupBy(refusalsOf(route), (code) => catalogue[code].status);
  for (const [status, codes] of byStatus) {
    const names: HeaderName[] = [];
    if (replayed.has(status)) names.push('Idempotent-Replayed');
    if (status === 401) names.push('WWW-Authenticate');
    // Nobody can say when to send again after a defect, nor need anyone wait whose request was
    // slow.
    const untimed = status === 408 || status === 500;
    if (!untimed && codes.some((code) => catalogue[code].retryable)) names.push('Retry-After');
    const schema = { ...problemReference, properties: { code: { enum: codes } } };
    responses[status] = {
      description: codes.map((code) => `\`${code}\`: ${catalogue[code].title}.`).join(' '),
      headers: headerReferences(names),
      content: contentOf({ [problemType]: schema }),
    };
  }
}

/** In the order of the catalogue. */
function refusalsOf({ config, schema }: RouteOptions): ErrorCode[] {
  const { role, described = {} } = config ?? {};
  // Even where nothing else can be wrong, HTTP/1.1 requires a Host.
  const codes: ErrorCode[] = ['validation-failed', 'internal-error'];
  if (config?.rateLimit !== false) codes.push('rate-limited');
  if (role !== undefined) codes.push('unauthenticated', 'database-unavailable');
  // Every API key may read.
  if (role !== undefined && role !== 'reader') codes.push('forbidden');
  if (schema?.body !== undefined)
    codes.push('request-timeout', 'payload-too-large', 'unsupported-media-type');
  const possible = new Set([
    ...codes,
    ...(described.refusals ?? []),
    ...(described.recorded ?? []),
  ]);
  return (Object.keys(catalogue) as ErrorCode[]).filter((code) => possible.has(code));
}

function headerReferences(names: readonly HeaderName[]): Record<string, object> {
  const present: HeaderName[] = ['X-Request-Id', ...names];
  return Object.fromEntries(
    present.map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}

function contentOf(schemas: Readonly<Record<string, object>>): Record<string, { schema: object }> {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));
}
