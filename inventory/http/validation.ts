import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { Fault } from '../errors.ts';

// Years that PostgreSQL and JavaScript agree on, in the form of RFC 3339.
const DATE_TIME =
  /^((?:19|[2-9]\d)\d\d)-(\d\d)-(\d\d)[Tt](?:[01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * Whether a text is a time of RFC 3339 that exists. `Date.parse` alone reads 30 February as 2 March,
 * and an offset can lead beyond the year 9999.
 */
function isDateTime(text: string): boolean {
  const [, year, month, day] = DATE_TIME.exec(text) ?? [];
  const at = new Date(text.toUpperCase());
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return year !== undefined && Number(day) <= daysOfMonth && at.getUTCFullYear() <= 9999;
}

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

/** Fastify's validator compiler: `errorsMax` bounds what one request can make us report. */
export function validatorCompiler({
  schema,
  httpPart,
}: {
  schema: unknown;
  httpPart?: string;
}): ValidateFunction {
  return (httpPart === 'body' || httpPart === undefined ? bodies : parameters).compile(
    schema as object,
  );
}

/** A fault each is enough to correct a request; 2,000 bad lines need not be 2,000 faults. */
const faultsMax = 50;

/** Ajv's errors as faults. @param root where the value stands, `$` for a body */
export function faultsOf(errors: readonly ErrorObject[], root = '$'): Fault[] {
  const faults = new Map<string, Fault>();
  for (const error of errors) {
    if (error.keyword === 'anyOf' || error.keyword === 'oneOf') continue;
    const pointer = pointerOf(error);
    const fault = faultAt(pointer, detailOf(error), root);
    const key = `${fault.path} ${fault.detail}`;
    if (!faults.has(key)) faults.set(key, fault);
    if (faults.size === faultsMax) break;
  }
  return [...faults.values()];
}

/** @param pointer a JSON Pointer (RFC 6901) */
export function faultAt(pointer: string, detail: string, root = '$'): Fault {
  return { path: jsonPath(pointer, root), pointer, detail };
}

function pointerOf({ keyword, instancePath, params }: ErrorObject): string {
  if (keyword === 'required') return `${instancePath}/${escapeToken(params.missingProperty)}`;
  if (keyword === 'additionalProperties') {
    return `${instancePath}/${escapeToken(params.additionalProperty)}`;
  }
  if (keyword === 'propertyNames') return `${instancePath}/${escapeToken(params.propertyName)}`;
  return instancePath;
}

/** A name as a step of a JSON Pointer. */
export function escapeToken(token: string): string {
  return token.slice(0, 200).replaceAll('~', '~0').replaceAll('/', '~1');
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

function jsonPath(pointer: string, root: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, name) => {
      if (/^\d+$/.test(name)) return `${path}[${name}]`;
      return NAME.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
    }, root);
}
