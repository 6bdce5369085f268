import { NotCanonical } from './errors.ts';

/**
 * The deepest nesting accepted. Ten times what a hand-made body has, and a tenth of what the
 * default stack holds: too low refuses an honest request, too high lets one request end the
 * process.
 */
export const depthMax = 1000;

// Strings of these characters need no escape, which spares the call into JSON.stringify.
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

/**
 * RFC 8785 canonical JSON of a parsed JSON value: sorted member names, no white space, numbers as
 * ECMAScript prints them.
 *
 * @param value what `JSON.parse` returns
 * @throws NotCanonical on lone surrogates, non-finite numbers, values that are not JSON, nesting
 * beyond {@link depthMax}
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return writeString(value);
    case 'number':
      if (!Number.isFinite(value)) throw new NotCanonical('a number is not finite');
      return `${value}`;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= depthMax) throw new NotCanonical(`it is nested deeper than ${depthMax}`);
      if (Array.isArray(value)) return writeArray(value, depth + 1);
      return writeObject(value as Record<string, unknown>, depth + 1);
    default:
      throw new NotCanonical(`${typeof value} is not a JSON type`);
  }
}

function writeString(text: string): string {
  if (text.length < 64 && plain.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new NotCanonical('a string holds a lone surrogate');
  return JSON.stringify(text);
}

function writeArray(items: unknown[], depth: number): string {
  let text = '[';
  for (let i = 0; i < items.length; i++) {
    if (i > 0) text += ',';
    text += write(items[i], depth);
  }
  return `${text}]`;
}

function writeObject(object: Record<string, unknown>, depth: number): string {
  const prototype = Object.getPrototypeOf(object);
  // A Date or a Map would otherwise count as {}, and two different requests as one.
  if (prototype !== Object.prototype && prototype !== null) {
    throw new NotCanonical('an object is not plain');
  }
  const names = Object.keys(object);
  if (names.length > 1 && !sorted(names)) names.sort();
  let text = '{';
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    text += i > 0 ? ',' : '';
    text += `${writeString(name)}:${write(object[name], depth)}`;
  }
  return `${text}}`;
}

function sorted(names: readonly string[]): boolean {
  for (let i = 1; i < names.length; i++) {
    if ((names[i - 1] as string) > (names[i] as string)) return false;
  }
  return true;
}
