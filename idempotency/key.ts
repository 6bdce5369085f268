import { KeyInvalid, KeyMissing } from './errors.ts';

/** The longest key, in characters. Stripe and Square publish the same bound. */
export const keyLengthMax = 255;

const visible = /^[\x21-\x7e]+$/;
// A comma in a bare key is how a proxy joins a repeated header, so only the quoted form may hold
// one.
const bare = /^[\x21\x23-\x2b\x2d-\x7e]+$/;
const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/**
 * What `IncomingMessage.headers`, `headersDistinct` and `Object.fromEntries(new Headers())` share.
 */
export type HeaderFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Reads the idempotency key of a request.
 *
 * `Idempotency-Key` and its alias `X-Idempotency-Key` hold an RFC 9651 string (`"k"`) or the bare
 * token (`k`): the same key. 1–255 visible ASCII characters, no spaces.
 * @param headers lower-case names
 * @param rawHeaders `IncomingMessage.rawHeaders`; lets a repetition be seen that `headers` hides
 * @throws KeyMissing when there is neither header
 * @throws KeyInvalid when malformed, repeated, or when the two headers name different keys
 */
export function parseIdempotencyKey(headers: HeaderFields, rawHeaders?: readonly string[]): string {
  const key = parseField(headers['idempotency-key'], 'idempotency-key', rawHeaders);
  const alias = parseField(headers['x-idempotency-key'], 'x-idempotency-key', rawHeaders);
  if (key !== undefined && alias !== undefined && key !== alias) {
    throw new KeyInvalid('Idempotency-Key and X-Idempotency-Key differ');
  }
  const found = key ?? alias;
  if (found === undefined) throw new KeyMissing();
  return found;
}

function parseField(
  field: string | readonly string[] | undefined,
  name: string,
  rawHeaders: readonly string[] | undefined,
): string | undefined {
  if (field === undefined) return undefined;
  if (rawHeaders && occurrences(rawHeaders, name) > 1) throw new KeyInvalid('it is repeated');
  if (typeof field === 'string') return parseKeyValue(field);
  if (field.length === 0) return undefined;
  if (field.length > 1) throw new KeyInvalid('it is repeated');
  return parseKeyValue(field[0] ?? '');
}

function occurrences(rawHeaders: readonly string[], name: string): number {
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const raw = rawHeaders[i] as string;
    if (raw.length === name.length && raw.toLowerCase() === name) count++;
  }
  return count;
}

/**
 * Parses the value of one header field into its key.
 *
 * @throws KeyInvalid naming the rule that was broken
 */
export function parseKeyValue(field: string): string {
  const text = field.trim();
  if (text.startsWith('"')) return unquote(text);
  if (text !== '' && !bare.test(text)) {
    throw new KeyInvalid('only visible ASCII without quotes and commas is allowed unquoted');
  }
  return bounded(text);
}

/**
 * Parses a key that stands by itself, as a member of a body does: the characters of the key, or the
 * quoted string of a header. No proxy joins such a text, so commas and quotes may stand bare, and
 * nothing is trimmed.
 *
 * @param where the text was read from, for the error
 * @throws KeyInvalid naming the rule that was broken
 */
export function parseKeyText(text: string, where = 'idempotency key'): string {
  if (quoted.test(text)) return unquote(text, where);
  if (text !== '' && !visible.test(text)) {
    throw new KeyInvalid('only visible ASCII is allowed', where);
  }
  return bounded(text, where);
}

function unquote(text: string, where?: string): string {
  const match = quoted.exec(text);
  if (!match) throw new KeyInvalid('the quoted string is malformed', where);
  const key = (match[1] as string).replace(/\\(["\\])/g, '$1');
  if (key !== '' && !visible.test(key)) {
    throw new KeyInvalid('only visible ASCII is allowed', where);
  }
  return bounded(key, where);
}

function bounded(key: string, where?: string): string {
  if (key === '') throw new KeyInvalid('it is empty', where);
  if (key.length > keyLengthMax) {
    throw new KeyInvalid(`it is longer than ${keyLengthMax} characters`, where);
  }
  return key;
}
