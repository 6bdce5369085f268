import {
  type Answer,
  fingerprint,
  type Idempotency,
  KeyInvalid,
  KeyMissing,
  parseIdempotencyKey,
  parseKeyText,
} from '@onhand/idempotency';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { ApiError, type Fault, validationFailed } from '../errors.ts';
import type { Pipeline } from '../pipeline/pipeline.ts';
import type { Preview } from '../pipeline/preview.ts';
import type { Command } from '../stock/commands.ts';
import { jsonType } from './answers.ts';
import { BatchAnswers, batchBytesMax, type EntryAnswer, entryOf } from './batchAnswers.ts';
import { type CommandKind, commandKinds } from './commands.ts';
import { describeBatch, describeCommand } from './describeCommand.ts';
import {
  CommandQuery,
  PostingAnswer,
  PostingParams,
  ReservationAnswer,
  ReservationParams,
} from './schemas.ts';
import { faultAt, validatorCompiler } from './validation.ts';

export interface CommandServices {
  readonly idempotency: Idempotency;
  readonly pipeline: Pipeline;
  readonly preview: Preview;
  /** Told of each answer, for metrics: its code or `ok`, and whether it was a replay. */
  readonly onAnswer?: (type: Command['type'], answer: Answer, replayed: boolean) => void;
}

interface CommandRequest {
  Params: { reservation?: string; posting?: string };
  Querystring: { dryRun?: boolean };
}

/** A `POST` route for each kind of stock command, and `/v1/batches` for many at once. */
export function addCommandRoutes(app: FastifyInstance, services: CommandServices): void {
  for (const kind of commandKinds) {
    app.post<CommandRequest>(
      kind.path.replace('{id}', `:${kind.target}`),
      {
        config: { role: 'writer', described: describeCommand(kind, answerSchema(kind)) },
        preValidation: (request, _reply, done) => {
          // No body says as much as an empty one; null is a body, and the wrong one.
          if (request.body === undefined) request.body = {};
          done();
        },
        schema: {
          tags: ['Stock commands'],
          summary: kind.summary,
          description: 'Needs an `Idempotency-Key` header, unless it is a dry run.',
          querystring: CommandQuery,
          body: kind.schema,
          ...paramsSchema(kind),
          response: { 201: answerSchema(kind) },
        },
        attachValidation: true,
      },
      (request, reply) => handle(services, kind, request, reply),
    );
  }
  addBatchRoute(app, services);
}

async function handle(
  services: CommandServices,
  kind: CommandKind,
  request: FastifyRequest<CommandRequest>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  // As text, for behind a fault in the body the query was not read.
  const dryRun = String(request.query.dryRun) === 'true';
  // The key first: a caller that forgot it should learn that before anything about the body.
  const key = dryRun ? '' : parseIdempotencyKey(request.headers, request.raw.rawHeaders);
  if (request.validationError) throw request.validationError;
  const target = (request.params.reservation ?? request.params.posting ?? '').toLowerCase();
  const command = kind.decode(request.body as never, target);
  const { tenant } = request.principal;
  if (dryRun) {
    const [answer] = await services.preview.decide(tenant, [command]);
    // What would happen is the answer, also when it would be a refusal; nothing exists to locate.
    return reply.code(200).type(jsonType).send(answer?.body);
  }
  const mark = request.url.indexOf('?');
  const query = mark < 0 ? '' : request.url.slice(mark + 1);
  const path = pathOf(kind, target);
  const print = fingerprint({ method: 'POST', path, query, body: request.body });
  const { answer, replayed } = await execute(services, tenant, key, print, command);
  reply.code(answer.status).headers(answer.headers);
  if (replayed) reply.header('idempotent-replayed', 'true');
  // It is serialized already, and saying so keeps Fastify from adding a charset to the recorded
  // type.
  const { body } = answer;
  return reply.serializer(asItIs).send(body.length > textBytesMax ? body : body.toString());
}

/**
 * The largest body that is sent as text: Node then writes head and body to the socket as one piece.
 * Of a larger one the repeats share the bytes: a copy of each would wait for a client that reads
 * slowly.
 */
const textBytesMax = 16 * 1024;

/** The path of a command, however its URL was written, and in a batch. */
function pathOf(kind: CommandKind, target: string): string {
  return kind.target === undefined ? kind.path : kind.path.replace('{id}', () => target);
}

const asItIs = (text: unknown) => text as string;

/** Claims the key, and commits the command or answers with what it became before. */
async function execute(
  { idempotency, pipeline, onAnswer }: CommandServices,
  tenant: string,
  key: string,
  print: string,
  command: Command,
): Promise<{ answer: Answer; replayed: boolean }> {
  const executed = await idempotency.execute({ scope: tenant, key, fingerprint: print }, () =>
    pipeline.submit({ tenant, key, fingerprint: print, command }),
  );
  onAnswer?.(command.type, executed.answer, executed.replayed);
  return executed;
}

const BatchBody = Type.Object(
  {
    commands: Type.Array(Type.Object({}, { additionalProperties: true }), {
      minItems: 1,
      maxItems: 1000,
      description:
        'Each is the body of its own route plus `type` and `idempotencyKey`, and `reservation` or `posting` where the route has an id.',
    }),
  },
  { additionalProperties: false },
);

const BatchAnswer = Type.Object({
  results: Type.Array(
    Type.Object({ status: Type.Integer(), body: Type.Object({}, { additionalProperties: true }) }),
  ),
});

const kindsByType = new Map(
  commandKinds.map((kind) => [kind.type as string, { kind, validate: validatorOf(kind) }]),
);

function validatorOf(kind: CommandKind) {
  return validatorCompiler({ schema: kind.schema, httpPart: 'body' });
}

/** Many commands in one request, each exactly once by its own key, as if sent to its own route. */
function addBatchRoute(app: FastifyInstance, services: CommandServices): void {
  app.post<{
    Body: { commands: Record<string, unknown>[] };
    Querystring: { dryRun?: boolean };
  }>(
    '/v1/batches',
    {
      config: { role: 'writer', described: describeBatch(BatchBody) },
      schema: {
        tags: ['Stock commands'],
        summary: 'Send up to 1,000 commands, each by itself',
        description:
          'Commands do not wait for each other: one that needs what another brings may be decided before it. Send it when the other is answered. The bodies of one answer are at most 32 MiB together: the results behind are `503` `overloaded`, also of commands that took effect. Send those again with the same keys: they take effect once, and are answered.',
        querystring: CommandQuery,
        body: BatchBody,
        response: { 200: BatchAnswer },
      },
    },
    async (request, reply) => {
      const { commands } = request.body;
      const answers = new BatchAnswers(commands.length);
      if (request.query.dryRun === true) await previewAll(services, request, commands, answers);
      else {
        const settled = commands.map(async (entry, at) =>
          answers.set(at, await settleEntry(services, request, entry, at)),
        );
        await Promise.all(settled);
      }
      return reply.type(jsonType).send(answers.toJson());
    },
  );
}

async function settleEntry(
  services: CommandServices,
  { principal, log }: FastifyRequest,
  entry: Record<string, unknown>,
  at: number,
): Promise<EntryAnswer> {
  try {
    // The key first, as on the command's own route.
    const key = keyOf(entry);
    const { command, path, body } = decodeEntry(entry, at);
    const print = fingerprint({ method: 'POST', path, query: '', body });
    return (await execute(services, principal.tenant, key, print, command)).answer;
  } catch (error) {
    return problemEntry(error, log, at);
  }
}

async function previewAll(
  services: CommandServices,
  { principal, log }: FastifyRequest,
  entries: readonly Record<string, unknown>[],
  answers: BatchAnswers,
): Promise<void> {
  const decoded = entries.map((entry, at) => {
    try {
      return decodeEntry(entry, at).command;
    } catch (error) {
      return problemEntry(error, log, at);
    }
  });
  const commands = decoded.filter((each) => 'type' in each);
  const decided = await services.preview.decide(principal.tenant, commands, batchBytesMax);
  let next = 0;
  for (const [at, each] of decoded.entries()) {
    // Of a command without an answer the answers before it fill the batch.
    const answer = 'type' in each ? decided[next++] : each;
    if (answer !== undefined) answers.set(at, answer);
  }
}

/** @param entry index of the command */
function problemEntry(error: unknown, log: FastifyBaseLogger, entry: number): EntryAnswer {
  const answer = entryOf(error);
  if (answer.status >= 500) log.error({ err: error, entry }, 'command of a batch failed');
  return answer;
}

const member = '`idempotencyKey`';

function keyOf({ idempotencyKey }: Record<string, unknown>): string {
  if (idempotencyKey === undefined) throw new KeyMissing(`an ${member} of its own`);
  if (typeof idempotencyKey !== 'string') throw new KeyInvalid('it is not a string', member);
  return parseKeyText(idempotencyKey, member);
}

interface DecodedEntry {
  readonly command: Command;
  readonly path: string;
  readonly body: Record<string, unknown>;
}

/** Reads one command of a batch as its own route would: the same fingerprint, the same checks. */
function decodeEntry(entry: Record<string, unknown>, at: number): DecodedEntry {
  try {
    return decode(entry);
  } catch (error) {
    throw error instanceof ApiError ? inEntry(error, at) : error;
  }
}

function decode({ type, idempotencyKey: _key, ...rest }: Record<string, unknown>): DecodedEntry {
  const found = typeof type === 'string' ? kindsByType.get(type) : undefined;
  if (found === undefined) {
    const detail = `must be one of ${[...kindsByType.keys()].join(', ')}`;
    throw validationFailed([faultAt('/type', detail)]);
  }
  const { kind, validate } = found;
  const { target, body } = splitTarget(kind, rest);
  const valid = validate(body);
  if (valid !== true) throw valid.error;
  return { command: kind.decode(body as never, target), path: pathOf(kind, target), body };
}

/** The faults of a command, told from the root of the batch. */
function inEntry({ members }: ApiError, at: number): ApiError {
  const faults = (members.errors as Fault[]).map(({ path, pointer, detail }) => ({
    path: `$.commands[${at}]${path.slice(1)}`,
    pointer: `/commands/${at}${pointer}`,
    detail,
  }));
  return validationFailed(faults);
}

function splitTarget(
  kind: CommandKind,
  rest: Record<string, unknown>,
): { target: string; body: Record<string, unknown> } {
  if (kind.target === undefined) return { target: '', body: rest };
  const { [kind.target]: target, ...body } = rest;
  if (typeof target !== 'string' || target === '' || target.length > 255) {
    throw validationFailed([faultAt(`/${kind.target}`, 'must be an id')]);
  }
  return { target: target.toLowerCase(), body };
}

function paramsSchema(kind: CommandKind): { params?: TSchema } {
  if (kind.target === undefined) return {};
  return { params: kind.target === 'posting' ? PostingParams : ReservationParams };
}

function answerSchema(kind: CommandKind): TSchema {
  return kind.type.startsWith('reservation') ? ReservationAnswer : PostingAnswer;
}
