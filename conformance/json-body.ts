/** Most values that are tried; an API that lets none of them differ has to be told which does. */
const candidatesMax = 10;

/**
 * Copies of a body in which one value differs: that at `pointer`, or, without one, each number and
 * text in turn, for only the API knows which may.
 *
 * @throws when the body has no value at `pointer`
 */
export function alterations(body: unknown, pointer?: string): { at: string; body: unknown }[] {
  const paths = pointer === undefined ? values(body, []) : [parsePointer(pointer)];
  return paths.slice(0, candidatesMax).map((path) => ({
    at: toPointer(path),
    body: altered(body, path),
  }));
}

function altered(body: unknown, path: readonly string[]): unknown {
  const last = path.at(-1);
  const copy: unknown = structuredClone(body);
  const parent = path.slice(0, -1).reduce((at: unknown, step) => member(at, step), copy);
  const value = last === undefined ? undefined : member(parent, last);
  if (last === undefined || value === undefined) {
    throw new Error(`The body has no value at '${toPointer(path)}'.`);
  }
  (parent as Record<string, unknown>)[last] = typeof value === 'number' ? value + 1 : `${value}-2`;
  return copy;
}

/** The same JSON with its members in reverse order and other white space. */
export function reorder(body: unknown): string {
  return JSON.stringify(reversed(body), null, 1);
}

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([name, inner]) => [name, reversed(inner)]));
}

/** Whether reordering makes a difference at all. */
export function canReorder(body: unknown): boolean {
  return JSON.stringify(reversed(body)) !== JSON.stringify(body);
}

/** RFC 6901. */
function parsePointer(pointer: string): string[] {
  const steps = pointer.split('/').slice(1);
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function toPointer(path: readonly string[]): string {
  return path.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** The paths of all numbers and texts. */
function values(value: unknown, path: readonly string[]): string[][] {
  if (typeof value === 'number' || typeof value === 'string') return [[...path]];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => values(inner, [...path, name]));
}
