import type pg from 'pg';

/** A keyset page: the rows after `after`, at most `limit`. */
export interface PageOf<Cursor> {
  readonly limit: number;
  readonly after: Cursor | undefined;
}

/** Conditions and their parameters, gathered while a statement is put together. */
export class Conditions {
  readonly values: unknown[];
  readonly #texts: string[] = [];

  /** @param tenant the first parameter of every statement */
  constructor(tenant: string) {
    this.values = [tenant];
  }

  /** The placeholder of a new parameter. */
  parameter(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  /** `column = value`, if there is a value. */
  equals(column: string, value: string | undefined): void {
    if (value !== undefined) this.add(`${column} = ${this.parameter(value)}`);
  }

  add(text: string): void {
    this.#texts.push(text);
  }

  /** What was gathered, each behind an AND. */
  get text(): string {
    return this.#texts.map((text) => ` AND ${text}`).join('');
  }
}

/**
 * Runs a read and gives its rows.
 *
 * @param name of a statement whose text is always the same, to be prepared once for each
 *   connection: to plan a read by key costs several times what it costs to run it
 */
export async function rowsOf<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  text: string,
  values: unknown[],
  name?: string,
): Promise<Row[]> {
  return (await pool.query<Row>({ text, values, ...(name !== undefined && { name }) })).rows;
}
