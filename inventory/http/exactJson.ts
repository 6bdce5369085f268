import type { Fault } from '../errors.ts';
import { escapeToken, faultAt } from './validation.ts';

/**
 * What `JSON.parse` passes over in silence: of two members of one name it keeps the last, and a
 * number with more digits than a double holds becomes its neighbour. I-JSON (RFC 7493), on which
 * the canonical form of RFC 8785 stands, forbids the first and warns of the second; here either
 * would post something else than was written.
 *
 * A fraction may be rounded, as every reader of JSON does. An integer, or what would become one,
 * may not.
 * @param text what `value` was parsed from
 * @returns the first fault, undefined when the value is all that the text says
 */
export function inexactness(text: string, value: unknown): Fault | undefined {
  const { members, mayRound } = survey(text);
  if (!mayRound && members === membersOf(value)) return undefined;
  return firstFault(text, value);
}

/** More digits than this may be more than a double holds. */
const digitsExact = 15;

/** One pass over each body: it must cost next to nothing where there is no doubt. */
function survey(text: string): { members: number; mayRound: boolean } {
  let members = 0;
  let digits = 0;
  let mayRound = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0x30 && code <= 0x39) {
      digits += 1;
      if (digits > digitsExact) mayRound = true;
      continue;
    }
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x3a) members += 1;
    // A point or an exponent; `e` is also a letter of true and false.
    else if (digits > 0 && (code === 0x2e || code === 0x65 || code === 0x45)) mayRound = true;
    digits = 0;
  }
  return { members, mayRound };
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let code = text.charCodeAt(at); code !== 0x22; code = text.charCodeAt(at)) {
    at += code === 0x5c ? 2 : 1;
  }
  return at;
}

/**
 * How many members all objects in a value have. Without recursion: a body may be nested 500,000
 * deep.
 */
function membersOf(value: unknown): number {
  let members = 0;
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const inside = Object.values(next);
    if (!Array.isArray(next)) members += inside.length;
    for (const each of inside) if (typeof each === 'object') open.push(each);
  }
  return members;
}

/**
 * An object or an array that is open where the scan stands, and the member or item it stands at.
 */
interface Place {
  readonly names: Set<string> | undefined;
  at: string | number;
}

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*:)?|[{}[\],]|-?\d[\d.eE+-]*/g;

function firstFault(text: string, value: unknown): Fault | undefined {
  const places: Place[] = [];
  const fault = (detail: string) => faultAt(pointerTo(places), detail, '$', value);
  for (const [token] of text.matchAll(TOKENS)) {
    const place = places.at(-1);
    if (token === '{') places.push({ names: new Set(), at: '' });
    else if (token === '[') places.push({ names: undefined, at: 0 });
    else if (token === '}' || token === ']') places.pop();
    else if (token === ',' && typeof place?.at === 'number') place.at += 1;
    else if (token.endsWith(':') && place?.names !== undefined) {
      place.at = JSON.parse(token.slice(0, -1)) as string;
      if (place.names.has(place.at)) return fault('is there twice');
      place.names.add(place.at);
    } else if (/^[-\d]/.test(token) && !isExact(token)) {
      return fault('has more digits than can be kept exactly');
    }
  }
  return undefined;
}

/** Of what is nested deeper than any request, the first steps. */
const stepsMax = 10;

function pointerTo(places: readonly Place[]): string {
  const steps = places.slice(0, stepsMax).map(({ at }) => `/${escapeToken(String(at))}`);
  return steps.join('');
}

/** Whether a number keeps its value, or at least becomes no integer when it is none. */
function isExact(literal: string): boolean {
  const value = Number(literal);
  if (!Number.isInteger(value)) return Number.isFinite(value);
  return decimal(literal) === decimal(String(value));
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * A number in one form, whichever way it is written: its digits and the power of ten of the first.
 */
function decimal(literal: string): string {
  const [, sign, whole = '', fraction = '', exponent = '0'] = NUMBER.exec(literal) ?? [];
  const written = withoutZerosBehind(`${whole}${fraction}`);
  const digits = written.replace(/^0+/, '');
  if (digits === '') return '0';
  return `${sign}${digits}e${whole.length + Number(exponent) - (written.length - digits.length)}`;
}

/** Not by `/0+$/`: it starts anew at each zero, for minutes where a body is full of them. */
function withoutZerosBehind(digits: string): string {
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === 0x30) end -= 1;
  return digits.slice(0, end);
}
