import { keyLengthMax } from '@onhand/idempotency';
import type { TSchema } from 'typebox';
import type { ErrorCode } from '../errors.ts';
import { type CommandKind, commandKinds } from './commands.ts';
import { problemReference, type RouteDescription } from './describeOperation.ts';

// The rules of `parseKeyValue` and `parseKeyText`. An escape is one character of the key.
const quotedKey = `"(?:[\\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\["\\\\]){1,${keyLengthMax}}"`;
const bareKey = `[\\x21\\x23-\\x2b\\x2d-\\x7e]{1,${keyLengthMax}}`;

const keySchema = {
  type: 'string',
  pattern: `^(?:${quotedKey}|${bareKey})$`,
  minLength: 1,
  // Quoted, with every character escaped.
  maxLength: 2 * keyLengthMax + 2,
};

const keyHeader = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'One per intended effect: 1–255 visible ASCII, quoted (RFC 9651) or bare. `X-Idempotency-Key` is an alias. Only a dry run needs none.',
  schema: keySchema,
};

/** What comes before the decision, and is not recorded. */
const undecided: readonly ErrorCode[] = [
  'idempotency-key-missing',
  'idempotency-key-invalid',
  'request-in-flight',
  'idempotency-key-reused',
  'overloaded',
];

/** @param answer the schema of what the command answers when it takes effect */
export function describeCommand(kind: CommandKind, answer: TSchema): RouteDescription {
  const { refusals, schema, rule, bodyOptional = false } = kind;
  return {
    refusals: undecided,
    recorded: refusals,
    parameters: [keyHeader],
    ...(rule !== undefined && { body: { ...schema, ...rule } }),
    bodyOptional,
    answers: {
      200: {
        description: 'A dry run: what would happen, also when it would be refused.',
        content: { 'application/json': { anyOf: [answer, problemReference] } },
      },
      201: { headers: ['Location', 'Idempotent-Replayed'] },
    },
  };
}

const targetSchema = { type: 'string', minLength: 1, maxLength: 255 };

const batchItem = {
  type: 'object',
  required: ['type', 'idempotencyKey'],
  properties: {
    type: { type: 'string', enum: commandKinds.map(({ type }) => type) },
    idempotencyKey: {
      ...keySchema,
      pattern: `^(?!""$)(?:${quotedKey}|[\\x21-\\x7e]{1,${keyLengthMax}})$`,
      description:
        'As in the header `Idempotency-Key`, or any of its characters bare; a dry run needs none.',
    },
    reservation: { ...targetSchema, description: 'Its id, for a command on a reservation.' },
    posting: { ...targetSchema, description: 'Its id, for a reversal.' },
  },
  additionalProperties: true,
};

/**
 * Items are validated one by one, so that a bad one is a result like any other; only the
 * description can say what each must have.
 *
 * @param body the schema that validates the whole
 */
export function describeBatch(body: { properties: { commands: TSchema } }): RouteDescription {
  const commands = { ...body.properties.commands, items: batchItem };
  return { body: { ...body, properties: { commands } } };
}
