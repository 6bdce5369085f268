/** A copy whose value at `pointer` differs, or, without one, its first number or text that may. */
export function alter(body: unknown, pointer?: string): unknown {
  const copy: unknown = structuredClone(body);
  const path = pointer === undefined ? firstValue(copy, []) : parsePointer(pointer);
  if (!path || path.length === 0) throw new Error('The body has no value to vary.');
  const parent = path.slice(0, -1).reduce((at, step) => member(at, step), copy);
  const last = path.at(-1) as string;
  const value = member(parent, last);
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

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) throw new Error(`no value at ${name}`);
  return (value as Record<string, unknown>)[name];
}

function firstValue(value: unknown, path: string[]): string[] | undefined {
  if (typeof value === 'number' || typeof value === 'string') return path;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, inner] of Object.entries(value)) {
    const found = firstValue(inner, [...path, name]);
    if (found) return found;
  }
  return undefined;
}
