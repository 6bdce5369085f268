import type { Duplex } from 'node:stream';
import pg from 'pg';

/** A statement with a prepared name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /** Texts, numbers, booleans, bytes and null. */
  readonly values?: readonly unknown[];
}

/** As it goes over the wire: bytes as they are, anything else as text. */
export type Parameter = string | Buffer | null;

/** A statement whose values are ready to be sent. */
export interface BoundStatement {
  readonly name: string;
  readonly text: string;
  readonly parameters: readonly Parameter[];
}

/** @throws TypeError for a value that no parameter is made of */
export function bind({ name, text, values = [] }: Statement): BoundStatement {
  return { name, text, parameters: values.map(parameterOf) };
}

function parameterOf(value: unknown): Parameter {
  if (value === null || typeof value === 'string' || Buffer.isBuffer(value)) return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new TypeError(`a statement takes no ${typeof value}`);
}

/** What `pg` has, and its types leave out. */
interface Connection {
  readonly stream: Duplex;
  /** Texts of the prepared statements that the server knows, by name. */
  readonly parsedStatements: Record<string, string>;
  /** Of those whose Parse is on its way. */
  readonly submittedNamedStatements: Record<string, string>;
  parse(statement: { name: string; text: string }): void;
  bind(portal: { statement: string; values: readonly Parameter[] }): void;
  describe(portal: { type: 'P'; name: string }): void;
  execute(portal: null): void;
  sync(): void;
}

type Result = pg.QueryArrayResult;
type Settle = (error: Error | null, result: Result | Result[]) => void;

interface Query {
  name: string | undefined;
  text: string;
  submit(connection: Connection): Error | null;
  handleCommandComplete(message: object, connection: Connection): void;
  handleError(error: Error, connection: Connection): void;
}

const Query = pg.Query as unknown as new (config: object, settle: Settle) => Query;

/** The connection of a pool's client. */
export function connectionOf(client: pg.ClientBase): Connection {
  return (client as unknown as { connection: Connection }).connection;
}

/**
 * Statements that the server runs one after the other and answers at once.
 *
 * `pg` ends every statement with a Sync, at which the server writes its answer and wakes this
 * process. Here one Sync ends them all. The server still takes a snapshot for each. When one fails,
 * it skips what follows up to the Sync.
 * Source: PostgreSQL 18 manual, 54.2.3 Extended Query and 54.2.4 Pipelining.
 */
class Synced extends Query {
  readonly #statements: readonly BoundStatement[];
  #completed = 0;

  constructor(statements: readonly BoundStatement[], settle: Settle) {
    super({ text: '', rowMode: 'array' }, settle);
    this.#statements = statements;
    this.#nameNext();
  }

  /** @returns an error when nothing was sent */
  override submit(connection: Connection): Error | null {
    for (const { name, text } of this.#statements) {
      const known = knownText(connection, name);
      if (known !== undefined && known !== text) {
        return new Error(`prepared statement ${name} has another text already`);
      }
    }
    for (const { name, text, parameters } of this.#statements) {
      if (knownText(connection, name) === undefined) {
        connection.parse({ name, text });
        connection.submittedNamedStatements[name] = text;
      }
      connection.bind({ statement: name, values: parameters });
      connection.describe({ type: 'P', name: '' });
      connection.execute(null);
    }
    connection.sync();
    return null;
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

  /**
   * `pg` keeps its book of prepared statements by these: of the one that the server answers next.
   */
  #nameNext(): void {
    const next = this.#statements[this.#completed];
    if (next !== undefined) Object.assign(this, { name: next.name, text: next.text });
  }
}

/**
 * Makes a statement known to the server, and runs nothing.
 *
 * In front of a large one: a server that has read its Parse and half of its Bind works on a
 * statement, in its view, and waits for the other half without any time-out.
 */
class Prepared extends Query {
  readonly #statement: BoundStatement;

  constructor(statement: BoundStatement, settle: Settle) {
    super({ name: statement.name, text: statement.text }, settle);
    this.#statement = statement;
  }

  override submit(connection: Connection): Error | null {
    const { name, text } = this.#statement;
    if (knownText(connection, name) === undefined) {
      connection.parse({ name, text });
      connection.submittedNamedStatements[name] = text;
    }
    connection.sync();
    return null;
  }

  override handleError(error: Error, connection: Connection): void {
    delete connection.submittedNamedStatements[this.#statement.name];
    super.handleError(error, connection);
  }
}

/**
 * The text that the server knows by a name, or will when it reads on. One that is on its way with
 * statements that fail before it is not known after all: statements that are sent behind others
 * before those are answered must not share a name with them that is new to the connection.
 */
function knownText(connection: Connection, name: string): string | undefined {
  const { parsedStatements, submittedNamedStatements } = connection;
  if (Object.hasOwn(parsedStatements, name)) return parsedStatements[name];
  return Object.hasOwn(submittedNamedStatements, name) ? submittedNamedStatements[name] : undefined;
}

/**
 * Characters of parameters up to which statements share a Sync: at three bytes each they fit into
 * the buffer of a socket with room to spare.
 *
 * A server that has read half of them waits for the rest without any time-out, with its rows
 * locked: what is not in the socket's buffer yet never comes from a process that stands still. At a
 * Sync it is idle in a transaction, which has a time-out. So one that is larger has its Parse
 * before a Sync as well.
 */
const syncedCharsMax = 32 * 1024;

/** @returns at least one statement each, in their order */
function* syncedTogether(statements: readonly BoundStatement[]): Generator<BoundStatement[]> {
  let together: BoundStatement[] = [];
  let chars = 0;
  for (const statement of statements) {
    const more = charsOf(statement);
    if (together.length > 0 && chars + more > syncedCharsMax) {
      yield together;
      together = [];
      chars = 0;
    }
    together.push(statement);
    chars += more;
  }
  if (together.length > 0) yield together;
}

/**
 * Sends statements that are run one after the other and answered in one round trip.
 *
 * When one fails, those behind it are not run, unless many or large parameters lie between them.
 * @returns their results, in their order; rows are arrays
 * @throws the error of the first that failed, or whose rows cannot be read
 */
export async function sendTogether(
  client: pg.PoolClient,
  statements: readonly BoundStatement[],
): Promise<pg.QueryArrayResult[]> {
  const sent = [...syncedTogether(statements)].flatMap((together) => {
    const [first] = together as [BoundStatement];
    // One that is too large is alone.
    const isLarge = charsOf(first) > syncedCharsMax;
    const isNew = isLarge && knownText(connectionOf(client), first.name) === undefined;
    return isNew ? [prepare(client, first), send(client, together)] : [send(client, together)];
  });
  return (await Promise.all(sent)).flat();
}

function charsOf({ parameters }: BoundStatement): number {
  return parameters.reduce((sum, each) => sum + (each?.length ?? 0), 0);
}

/** @returns no results */
function prepare(client: pg.PoolClient, statement: BoundStatement): Promise<Result[]> {
  return new Promise((resolve, reject) => {
    const settle: Settle = (error) => (error ? reject(error) : resolve([]));
    client.query(new Prepared(statement, settle) as unknown as pg.Submittable);
  });
}

function send(client: pg.PoolClient, statements: readonly BoundStatement[]): Promise<Result[]> {
  return new Promise((resolve, reject) => {
    const settle: Settle = (error, result) => {
      const results = Array.isArray(result) ? result : [result];
      if (error) reject(error);
      else if (results.length === statements.length) resolve(results);
      else reject(new Error(`${statements.length} statements had ${results.length} results`));
    };
    client.query(new Synced(statements, settle) as unknown as pg.Submittable);
  });
}
