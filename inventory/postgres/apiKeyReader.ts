import DataLoader from 'dataloader';
import type pg from 'pg';
import { type ApiKeyRow, findApiKeys } from './apiKeys.ts';

/** Keys of one statement, so that one does not take long enough to be felt by the next. */
const keysMax = 500;

/**
 * How long look-ups wait for the statement in front, ms: some hundred times what one takes. A
 * connection that hangs holds nobody up for longer.
 */
const gatherMsMax = 1_000;

/**
 * Finds single API keys, all who ask while a statement runs with the next one.
 *
 * Keys that are not known are looked up for every request, so whoever sends guesses decides how
 * many look-ups there are: one statement at a time leaves the other connections to recorded
 * answers, and takes a thousand guesses for little more than one. None waits for company, and none
 * joins a statement that was sent before it: each is answered with what was true after it was
 * asked.
 */
export class ApiKeyReader {
  readonly #pool: pg.Pool;
  readonly #keys: DataLoader<string, ApiKeyRow | undefined>;
  #turn: Promise<void> = Promise.resolve();
  /** The statement that was sent last. */
  #sent: Promise<unknown> = Promise.resolve();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#keys = new DataLoader((secrets) => this.#find(secrets), {
      cache: false,
      maxBatchSize: keysMax,
      batchScheduleFn: (send) => {
        this.#turn = this.#turn.then(() => {
          send();
          return endOrBound(this.#sent);
        });
      },
    });
  }

  /** @param secretSha256 lower-case hex */
  find(secretSha256: string): Promise<ApiKeyRow | undefined> {
    return this.#keys.load(secretSha256);
  }

  async #find(secrets: readonly string[]): Promise<(ApiKeyRow | undefined)[]> {
    const sent = findApiKeys(this.#pool, secrets);
    this.#sent = sent.catch(() => {});
    const found = await sent;
    return secrets.map((secret) => found.get(secret));
  }
}

/** Ends with a statement, or when that has taken `gatherMsMax`. */
function endOrBound(statement: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, gatherMsMax);
    statement.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
