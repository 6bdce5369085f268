import type { Duplex } from 'node:stream';
import pg from 'pg';

/** A statement with a prepared name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Texts, numbers, booleans, Buffers and null. */
  readonly values?: readonly unknown[];
}

/** What `pg` has, and its types leave out. */
interface Connection {
  readonly stream: Duplex;
  /** Texts of the prepared statements that the server knows, by name. */
  readonly parsedStatements: Record<string, string>;
  /** Of those whose Parse is on its way. */
  readonly submittedNamedStatements: Record<string, string>;
  parse(statement: { name: string; text: string }): void;
  bind(portal: object): void;
  describe(portal: { type: 'P'; name: string }): void;
  execute(portal: null): void;
  sync(): void;
}

type Result = pg.QueryArrayResult;
type Settle = (error: Error | null, result: Result | Result[]) => void;

interface Query {
  name: string | undefined;
  text: string;
  submit(connection: Connection): void;
  handleCommandComplete(message: object, connection: Connection): void;
  handleError(error: Error, connection: Connection): void;
}

const Query = pg.Query as unknown as new (config: object, settle: Settle) => Query;

/** The connection of a pool's client. */
export function connectionOf(client: pg.PoolClient): Connection {
  return (client as unknown as { connection: Connection }).connection;
}

/**
 * Statements that the server runs one after the other and answers at once.
 *
 * `pg` ends every statement with a Sync, at which the server writes its answer and wakes this process.
 * Here one Sync ends them all. The server still takes a snapshot for each. When one fails, it skips
 * what follows up to the Sync.
 * Source: PostgreSQL manual, 54.2.3 Extended Query and 54.2.4 Pipelining.
 */
class Stage extends Query {
  readonly #statements: readonly Statement[];
  #completed = 0;

  constructor(statements: readonly Statement[], settle: Settle) {
    super({ text: '', rowMode: 'array' }, settle);
    this.#statements = statements;
    this.#nameNext();
  }

  override submit(connection: Connection): void {
    for (const { name, text, values = [] } of this.#statements) {
      if (!isKnown(connection, name)) {
        connection.parse({ name, text });
        connection.submittedNamedStatements[name] = text;
      }
      connection.bind({ statement: name, values, valueMapper: parameterOf });
      connection.describe({ type: 'P', name: '' });
      connection.execute(null);
    }
    connection.sync();
  }

  override handleCommandComplete(message: object, connection: Connection): void {
    super.handleCommandComplete(message, connection);
    this.#completed += 1;
    this.#nameNext();
  }

  override handleError(error: Error, connection: Connection): void {
    // What follows was skipped, so the server has not heard of it.
    for (const { name } of this.#statements.slice(this.#completed)) {
      delete connection.submittedNamedStatements[name];
    }
    super.handleError(error, connection);
  }

  /** `pg` keeps its book of prepared statements by these: of the one that the server answers next. */
  #nameNext(): void {
    const next = this.#statements[this.#completed];
    if (next !== undefined) Object.assign(this, { name: next.name, text: next.text });
  }
}

function isKnown(connection: Connection, name: string): boolean {
  return name in connection.parsedStatements || name in connection.submittedNamedStatements;
}

function parameterOf(value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null;
  return Buffer.isBuffer(value) ? value : String(value);
}

/**
 * Sends statements as one stage.
 * @returns their results, in their order; rows are arrays
 * @throws the error of the first that failed; none behind it was run
 */
export function runStage(
  client: pg.PoolClient,
  statements: readonly Statement[],
): Promise<pg.QueryArrayResult[]> {
  return new Promise((resolve, reject) => {
    const settle: Settle = (error, result) => {
      if (error) reject(error);
      else resolve(Array.isArray(result) ? result : [result]);
    };
    client.query(new Stage(statements, settle) as unknown as pg.Submittable);
  });
}
