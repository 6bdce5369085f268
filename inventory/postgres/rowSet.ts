import { plainArray, textArray } from './arrays.ts';

/**
 * How rows reach a statement: `one` as a parameter for each column; `many`, any number of them, as
 * arrays that the statement takes apart.
 *
 * Most batches of a quiet shop have one row of everything. Without arrays and set-returning
 * functions the transaction of such a batch costs the server a sixth less.
 */
export type Form = 'one' | 'many';

/** A column of the rows that a statement is given, with how it is written in either form. */
export interface Column<Row> {
  readonly name: string;
  /** SQL type of the parameter of a single row. */
  readonly type: string;
  value(row: Row): unknown;
  /** Parameters that hold the column of many rows: the first is `$first`. */
  readonly parameters: number;
  values(rows: readonly Row[]): unknown[];
  /** What takes arrays apart, as columns of `part`. */
  parts(first: number): string[];
  /** The column, made of columns of `part`, whose `n` counts rows from 1. */
  item(first: number): string;
}

/** A column that many rows have as an array, by which they can be counted. */
export interface ArrayColumn<Row> extends Column<Row> {
  readonly isArray: true;
}

/** A text, or anything written as one: `uuid`, `timestamptz`, `json`. */
export function text<Row>(
  name: string,
  type: string,
  value: (row: Row) => string | null,
): ArrayColumn<Row> {
  return arrayColumn(name, type, value, (rows) => textArray(rows.map(value)));
}

/** A number or a boolean. */
export function plain<Row>(
  name: string,
  type: string,
  value: (row: Row) => number | boolean | null,
): ArrayColumn<Row> {
  return arrayColumn(name, type, value, (rows) => plainArray(rows.map(value)));
}

function arrayColumn<Row>(
  name: string,
  type: string,
  value: (row: Row) => unknown,
  array: (rows: readonly Row[]) => string,
): ArrayColumn<Row> {
  return {
    isArray: true,
    name,
    type,
    value,
    parameters: 1,
    values: (rows) => [array(rows)],
    parts: (first) => [`unnest($${first}::${type}[]) AS ${name}`],
    item: () => `part.${name}`,
  };
}

/** JSON text, which holds no raw control character: joined by one, it needs no escapes. */
export function json<Row>(name: string, value: (row: Row) => unknown): Column<Row> {
  const textOf = (row: Row) => JSON.stringify(value(row));
  return {
    name,
    type: 'text',
    value: textOf,
    parameters: 1,
    values: (rows) => [rows.map(textOf).join('\x1f')],
    parts: (first) => [`unnest(string_to_array($${first}, E'\\x1f')) AS ${name}`],
    item: () => `part.${name}`,
  };
}

/**
 * A SHA-256 digest, given in hex. Many are one byte string: an array of bytea would cross as hex.
 */
export function digest<Row>(name: string, value: (row: Row) => string): Column<Row> {
  return {
    name,
    type: 'bytea',
    value: (row) => Buffer.from(value(row), 'hex'),
    parameters: 1,
    values: (rows) => [Buffer.from(rows.map(value).join(''), 'hex')],
    parts: () => [],
    item: (first) => `substring($${first}::bytea FROM 32 * part.n - 31 FOR 32)`,
  };
}

/** Bytes. Many are one byte string, laid end to end, with where each begins and how long it is. */
export function bytes<Row>(name: string, value: (row: Row) => Buffer): Column<Row> {
  return {
    name,
    type: 'bytea',
    value,
    parameters: 3,
    values: (rows) => packBytes(rows.map(value)),
    parts: (first) => [
      `unnest($${first + 1}::integer[]) AS ${name}_start`,
      `unnest($${first + 2}::integer[]) AS ${name}_length`,
    ],
    item: (first) => `substring($${first}::bytea FROM part.${name}_start FOR part.${name}_length)`,
  };
}

function packBytes(parts: readonly Buffer[]): [bytes: Buffer, starts: string, lengths: string] {
  const starts: number[] = [];
  const lengths: number[] = [];
  let start = 1;
  for (const { length } of parts) {
    starts.push(start);
    lengths.push(length);
    start += length;
  }
  return [Buffer.concat(parts), plainArray(starts), plainArray(lengths)];
}

/**
 * The rows that a statement is given: where they come from in its text, and its parameters for
 * them.
 */
export class RowSet<Row> {
  readonly #columns: readonly Column<Row>[];

  constructor(columns: readonly [ArrayColumn<Row>, ...Column<Row>[]]) {
    this.#columns = columns;
  }

  /** The names of the columns, as an INSERT lists them. */
  get names(): string {
    return this.#columns.map(({ name }) => name).join(', ');
  }

  /**
   * @returns what stands in FROM, with the columns in their order; its parameters begin with
   *   `$first`
   */
  source(form: Form, first: number): string {
    return form === 'one' ? this.#row(first) : this.#rows(first);
  }

  /** The parameters of {@link source}. @param rows one where the form is `one` */
  values(form: Form, rows: readonly Row[]): unknown[] {
    if (form === 'many') return this.#columns.flatMap((column) => column.values(rows));
    const [row] = rows as [Row];
    return this.#columns.map((column) => column.value(row));
  }

  #row(first: number): string {
    const items = this.#columns.map(({ name, type }, at) => `$${first + at}::${type} AS ${name}`);
    return `(SELECT ${items.join(', ')})`;
  }

  #rows(first: number): string {
    const [counted] = this.#columns as [Column<Row>];
    const items: string[] = [];
    const parts = [`generate_subscripts($${first}::${counted.type}[], 1) AS n`];
    let at = first;
    for (const column of this.#columns) {
      items.push(`${column.item(at)} AS ${column.name}`);
      parts.push(...column.parts(at));
      at += column.parameters;
    }
    return `(SELECT ${items.join(', ')} FROM (SELECT ${parts.join(', ')}) AS part)`;
  }
}
