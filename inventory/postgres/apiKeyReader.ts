import type DataLoader from 'dataloader';
import type pg from 'pg';
import { type ApiKeyRow, findApiKeys } from './apiKeys.ts';
import { gatheringLoader } from './gatheringLoader.ts';

/**
 * Waits some hundred times what a statement takes: a connection that hangs holds nobody up for
 * longer.
 */
const gathering = { keysMax: 500, waitMsMax: 1_000 };

/**
 * Finds single API keys, all who ask while a statement runs with the next one.
 *
 * Keys that are not known are looked up for every request, so whoever sends guesses decides how
 * many look-ups there are: one statement at a time leaves the other connections to recorded
 * answers, and takes a thousand guesses for little more than one.
 */
export class ApiKeyReader {
  readonly #keys: DataLoader<string, ApiKeyRow | undefined>;

  constructor(pool: pg.Pool) {
    this.#keys = gatheringLoader(async (secrets) => {
      const found = await findApiKeys(pool, secrets);
      return secrets.map((secret) => found.get(secret));
    }, gathering);
  }

  /** @param secretSha256 lower-case hex */
  find(secretSha256: string): Promise<ApiKeyRow | undefined> {
    return this.#keys.load(secretSha256);
  }
}
