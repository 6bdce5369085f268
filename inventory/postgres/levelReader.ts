import DataLoader from 'dataloader';
import type pg from 'pg';
import type { Pair } from '../stock/stock.ts';
import { type LevelRow, levelColumns } from './findLevels.ts';
import { type Form, plain, RowSet, text } from './rowSet.ts';

/**
 * Statements of one process at a time. While they run, reads gather for the next one; a second
 * keeps PostgreSQL at work while the answers of the first are written.
 */
const statementsMax = 2;

/**
 * How long reads wait for a statement to end, ms: some hundred times what one takes. Then they go
 * to the pool by themselves, and with it to its bound on waiting: a connection that hangs holds
 * nobody up.
 */
const gatherMsMax = 1_000;

/** Levels of one statement, so that one does not take long enough to be felt by the next. */
const levelsMax = 250;

interface Gathered {
  readonly send: () => void;
  readonly timer: NodeJS.Timeout;
}

/** A level that is asked for. */
interface Asked extends Pair {
  readonly tenant: string;
}

const asked = new RowSet<Asked & { readonly place: number }>([
  plain('place', 'integer', ({ place }) => place),
  text('tenant_id', 'text', ({ tenant }) => tenant),
  text('warehouse', 'text', ({ warehouse }) => warehouse),
  text('product', 'text', ({ product }) => product),
]);

// LATERAL with OFFSET 0 is a loop over what is asked for, one index probe each, however long the
// planner takes the arrays for.
const statement = (form: Form) => ({
  name: `read-level-${form}`,
  text: `
    SELECT asked.place, level.*
    FROM ${asked.source(form, 1)} AS asked
    CROSS JOIN LATERAL (
      SELECT ${levelColumns} FROM levels l
      WHERE l.tenant_id = asked.tenant_id AND l.warehouse = asked.warehouse
        AND l.product = asked.product
      OFFSET 0) AS level`,
});

const statements = { one: statement('one'), many: statement('many') };

/**
 * Reads single levels, many of them with one statement.
 *
 * A read by key costs PostgreSQL and this process several times as much to send, run and answer as
 * to look up. So reads that come in one turn of the event loop share a statement, and so do those
 * that come while as many statements as may run are running. None waits for company, and none joins
 * a statement that was sent before it: each sees everything that was committed when it was asked
 * for.
 */
export class LevelReader {
  readonly #pool: pg.Pool;
  readonly #levels: DataLoader<Asked, LevelRow | undefined>;
  /** What is gathered and not sent, oldest first. */
  readonly #waiting = new Set<Gathered>();
  #running = 0;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#levels = new DataLoader((levels) => this.#read(levels), {
      cache: false,
      maxBatchSize: levelsMax,
      batchScheduleFn: (send) => this.#schedule(send),
    });
  }

  /** @returns undefined if the level was never moved */
  find(tenant: string, { warehouse, product }: Pair): Promise<LevelRow | undefined> {
    return this.#levels.load({ tenant, warehouse, product });
  }

  #schedule(send: () => void): void {
    if (this.#running < statementsMax) {
      this.#running += 1;
      setImmediate(send);
      return;
    }
    const timer = setTimeout(() => this.#send(gathered), gatherMsMax);
    const gathered = { send, timer };
    this.#waiting.add(gathered);
  }

  #send(gathered: Gathered): void {
    this.#waiting.delete(gathered);
    clearTimeout(gathered.timer);
    this.#running += 1;
    gathered.send();
  }

  async #read(levels: readonly Asked[]): Promise<(LevelRow | undefined)[]> {
    try {
      return await findEach(this.#pool, levels);
    } finally {
      this.#running -= 1;
      const [next] = this.#waiting;
      if (next !== undefined && this.#running < statementsMax) this.#send(next);
    }
  }
}

/** @returns for each, in their order, its level or undefined */
async function findEach(
  pool: pg.Pool,
  levels: readonly Asked[],
): Promise<(LevelRow | undefined)[]> {
  const form: Form = levels.length === 1 ? 'one' : 'many';
  const values = asked.values(
    form,
    levels.map((level, place) => ({ ...level, place })),
  );
  const { rows } = await pool.query<LevelRow & { place: number }>({ ...statements[form], values });
  const found = new Array<LevelRow | undefined>(levels.length).fill(undefined);
  for (const { place, ...level } of rows) found[place] = level;
  return found;
}
