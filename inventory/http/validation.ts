import { Ajv, type ErrorObject } from 'ajv';
import { type ApiError, type Fault, validationFailed } from '../errors.ts';
import { isDateTime } from './dateTime.ts';

function newAjv(coerceTypes: boolean): Ajv {
  const ajv = new Ajv({
    allErrors: true,
    coerceTypes,
    removeAdditional: false,
    useDefaults: false,
    strict: true,
    allowUnionTypes: true,
  });
  ajv.addFormat('date-time', isDateTime);
  return ajv;
}

// A body says what it means; parameters are all text, so a number is read from them.
const bodies = newAjv(false);
const parameters = newAjv(true);

/** Fastify's validator compiler: a validator answers true, or with what it refuses. */
export function validatorCompiler({
  schema,
  httpPart = 'body',
}: {
  schema: unknown;
  httpPart?: string;
}): (value: unknown) => true | { error: ApiError } {
  const validate = (httpPart === 'body' ? bodies : parameters).compile(schema as object);
  const root = ROOTS[httpPart] ?? `$.${httpPart}`;
  const lists = listsOf(schema);
  return (value) => {
    const long = lists.find((list) => isTooLong(list, value));
    if (long !== undefined) return { error: validationFailed([tooLong(long, root)]) };
    return (
      validate(value) || { error: validationFailed(faultsOf(validate.errors ?? [], value, root)) }
    );
  };
}

/** A member that holds a list of bounded length. */
interface List {
  readonly name: string;
  readonly itemsMax: number;
}

function listsOf(schema: unknown): List[] {
  const { properties = {} } = schema as { properties?: Record<string, { maxItems?: number }> };
  return Object.entries(properties).flatMap(([name, { maxItems }]) =>
    maxItems === undefined ? [] : [{ name, itemsMax: maxItems }],
  );
}

function isTooLong({ name, itemsMax }: List, value: unknown): boolean {
  const list = (value as Record<string, unknown> | null | undefined)?.[name];
  return Array.isArray(list) && list.length > itemsMax;
}

/**
 * Its only fault: Ajv would look for those of each item, and hundreds of thousands fit in a body.
 */
function tooLong({ name, itemsMax }: List, root: string): Fault {
  return faultAt(`/${name}`, `must NOT have more than ${itemsMax} items`, root);
}

/** Where the JSON path of a fault starts. */
const ROOTS: Record<string, string> = { body: '$', querystring: '$.query' };

/** A fault each is enough to correct a request; 2,000 bad lines need not be 2,000 faults. */
const faultsMax = 50;

/** Ajv's errors about a value as faults. @param root where the value stands, `$` for a body */
function faultsOf(errors: readonly ErrorObject[], value: unknown, root: string): Fault[] {
  const faults = new Map<string, Fault>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || error.keyword === 'oneOf') continue;
    const pointer = pointerOf(error);
    const fault = faultAt(pointer, detailOf(error), root, value);
    const key = `${fault.path} ${fault.detail}`;
    if (!faults.has(key)) faults.set(key, fault);
    if (faults.size === faultsMax) break;
  }
  return [...faults.values()];
}

/**
 * @param pointer a JSON Pointer (RFC 6901)
 * @param value what it leads into, if it is at hand: else its numbers are indexes
 */
export function faultAt(pointer: string, detail: string, root = '$', value?: unknown): Fault {
  return { path: jsonPath(pointer, root, value), pointer, detail };
}

function pointerOf({ keyword, instancePath: path, params }: ErrorObject): string {
  // Names in it are the caller's, of up to the length of a body.
  const instancePath = path.replaceAll(/[^/]+/g, (token) => escapeToken(unescapeToken(token)));
  if (keyword === 'required') return `${instancePath}/${escapeToken(params.missingProperty)}`;
  if (keyword === 'additionalProperties') {
    return `${instancePath}/${escapeToken(params.additionalProperty)}`;
  }
  if (keyword === 'propertyNames') return `${instancePath}/${escapeToken(params.propertyName)}`;
  return instancePath;
}

/** A name as a step of a JSON Pointer; of a long one its beginning. */
export function escapeToken(token: string): string {
  return token.slice(0, 200).replaceAll('~', '~0').replaceAll('/', '~1');
}

function unescapeToken(token: string): string {
  return token.replaceAll('~1', '/').replaceAll('~0', '~');
}

function detailOf({ keyword, params, message }: ErrorObject): string {
  if (keyword === 'required') return 'is required';
  if (keyword === 'additionalProperties') return 'is not a field of this request';
  if (keyword === 'enum') return `must be one of ${params.allowedValues.join(', ')}`;
  if (keyword === 'not') return 'must not be 0';
  if (keyword === 'propertyNames') return 'is not allowed as a name';
  return message ?? 'is not valid';
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Into an object a number is a name. */
function jsonPath(pointer: string, root: string, value: unknown): string {
  let at = value;
  let path = root;
  for (const token of pointer.split('/').slice(1)) {
    const name = unescapeToken(token);
    path += stepTo(name, at);
    at = (at as Record<string, unknown> | null | undefined)?.[name];
  }
  return path;
}

function stepTo(name: string, parent: unknown): string {
  if (/^\d+$/.test(name) && (parent === undefined || Array.isArray(parent))) return `[${name}]`;
  return NAME.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}
