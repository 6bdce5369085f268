import { validationFailed } from '../errors.ts';
import { faultAt } from './validation.ts';

/** Default and largest page, in items. */
export const pageLimit = 100;

/** Where a page ended, as text that callers pass back and do not read. */
export function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/**
 * @param shape what each part must be
 * @throws ApiError validation-failed for anything that `encodeCursor` did not make
 */
export function decodeCursor(
  cursor: string | undefined,
  shape: readonly (keyof typeof CHECK)[],
): (string | number)[] | undefined {
  if (cursor === undefined) return undefined;
  const parts = parse(cursor);
  const fits =
    Array.isArray(parts) &&
    parts.length === shape.length &&
    shape.every((type, index) => CHECK[type](parts[index]));
  if (!fits)
    throw validationFailed([faultAt('/cursor', 'is not a cursor of this list', '$.query')]);
  return parts as (string | number)[];
}

function parse(cursor: string): unknown {
  try {
    const bytes = Buffer.from(cursor, 'base64url');
    // The decoder passes over what is no base64url.
    return bytes.toString('base64url') === cursor ? JSON.parse(bytes.toString()) : undefined;
  } catch {
    return undefined;
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const CODE = /^[A-Za-z0-9._:-]{1,64}$/;

const CHECK = {
  text: (part: unknown) => typeof part === 'string' && CODE.test(part),
  uuid: (part: unknown) => typeof part === 'string' && UUID.test(part),
  bigint: (part: unknown) => Number.isSafeInteger(part),
  integer: (part: unknown) => Number.isInteger(part) && Math.abs(part as number) < 2 ** 31,
};

/** An id as it is stored, or undefined: what is no UUID names nothing. */
export function uuidOf(text: string): string | undefined {
  const lower = text.toLowerCase();
  return UUID.test(lower) ? lower : undefined;
}

/**
 * One page of a list: asks for one row more than the page holds to know whether there is a next.
 *
 * @param fitting how many of the first rows a page has room for, at least one
 */
export async function pageOf<Row, Item>(
  limit: number,
  find: (limit: number) => Promise<Row[]>,
  item: (row: Row) => Item,
  cursor: (row: Row) => readonly (string | number)[],
  fitting: (rows: readonly Row[]) => number = ({ length }) => length,
): Promise<{ items: Item[]; next: string | null }> {
  const rows = await find(limit + 1);
  const held = Math.min(limit, fitting(rows));
  const last = rows.length > held ? rows[held - 1] : undefined;
  return {
    items: rows.slice(0, held).map(item),
    next: last === undefined ? null : encodeCursor(cursor(last)),
  };
}
