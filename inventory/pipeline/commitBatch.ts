import type { Answer } from '@onhand/idempotency';
import type { Database } from '../postgres/database.ts';
import { ensureLevels } from '../postgres/ensureLevels.ts';
import type { Catalogue } from '../postgres/findCatalogue.ts';
import type { Targets } from '../postgres/findTargets.ts';
import { overdueMax, type StoredRecord } from '../postgres/loadContext.ts';
import { writeMessage } from '../postgres/standbys.ts';
import { Transaction } from '../postgres/transaction.ts';
import { apply, type Context, decide, expire } from '../stock/decide.ts';
import type { Outcome, Posted } from '../stock/outcomes.ts';
import type { Pair } from '../stock/stock.ts';
import type { PipelineObserver, Render, Settlement, Stage, Submission } from './batch.ts';
import { type Effects, effectsOf } from './effects.ts';
import { fittingOf, footprintOf, targetsOf } from './footprint.ts';
import { type LoadedStock, type LoadRequest, loadStock } from './loadStock.ts';
import type { PairLocks } from './pairLocks.ts';
import { findCatalogueOf, resolveTargets } from './resolve.ts';
import { uuidv7 } from './uuidv7.ts';
import { writeEffects } from './writeEffects.ts';

export interface CommitOptions {
  readonly database: Database;
  /** undefined: no distributed lock, batches queue on row locks alone. */
  readonly locks: PairLocks | undefined;
  readonly retentionMs: number;
  /** Lines of one batch, so that a few large orders do not make a batch that takes seconds. */
  readonly batchLinesMax: number;
  readonly render: Render;
  readonly observer: PipelineObserver;
}

/** A batch's place behind and ahead of others of its lane, which share its connection. */
export interface Place {
  /** The transaction in front, whose COMMIT is on its way: this batch's begins right behind it. */
  readonly ahead: Transaction | undefined;
  /** Told when this batch's own COMMIT is on its way. It must not throw. */
  committing(transaction: Transaction): void;
}

/** A batch with nobody around it. */
const alone: Place = { ahead: undefined, committing: () => {} };

/** What one transaction did for a batch. */
export interface Progress {
  /**
   * One for each of the first submissions, in order. Empty when the transaction only booked expired
   * holds that had to go first.
   */
  readonly settlements: Settlement[];
  /** What the batch's commands name, for the rest of it. */
  readonly targets: Targets | undefined;
}

/**
 * Commits the first of one tenant's submissions in one transaction, as many as stay within the
 * lines of a batch, or throws with nothing known to be written.
 *
 * When it throws after the COMMIT was sent, the outcome is unknown. Calling it again with the same
 * submissions is then safe and is how the outcome is found: it looks the keys up behind the row
 * locks, and a key cannot be recorded twice.
 * @param submissions one tenant's, in the order in which they are decided; keys are unique
 * @param known targets found by an earlier call for the same batch
 */
export async function commitBatch(
  options: CommitOptions,
  submissions: readonly Submission[],
  place: Place = alone,
  known?: Targets,
): Promise<Progress> {
  const { database } = options;
  const { tenant } = submissions[0] as Submission;
  const timer = new StageTimer();
  const all = submissions.map(({ command }) => command);
  const found = known ?? (await resolveTargets(database.writes, tenant, all));
  timer.end('resolve');
  const fits = fittingOf(all, found, options.batchLinesMax);
  const isWhole = fits === submissions.length;
  const commands = isWhole ? all : all.slice(0, fits);
  const targets = targetsOf(commands, found);
  const footprint = footprintOf(commands, targets);
  const lease = await options.locks?.hold(tenant, footprint.pairs);
  timer.end('lock');
  // Not awaited: nothing waits for Redis here. It never rejects, and does something only once.
  const release = () => void lease?.release();
  const committing = (transaction: Transaction) => {
    // Whoever is next begins while the COMMIT is on its way, and waits for it on the row locks.
    release();
    // Behind a part comes the rest of its batch.
    if (isWhole) place.committing(transaction);
  };
  try {
    const taken = isWhole ? submissions : submissions.slice(0, fits);
    const keys = taken.map(({ key }) => key);
    const work = { ...options, submissions: taken, timer, committing };
    const plan = { tenant, footprint, targets, keys };
    let done = await attempt(work, { ...plan, catalogue: undefined }, place.ahead);
    // All of them each time: the catalogue is what says which codes are known.
    const missing = 'missing' in done ? done.missing : [];
    for (let made = 0; 'missing' in done; made++) {
      if (made === levelsMadeMax) throw new Error('levels that were just made are missing');
      // That attempt was rolled back, so nothing is locked while the rows are made, in a
      // transaction of their own. Then once more from the start.
      const catalogue = await makeLevels(database, tenant, missing);
      done = await attempt(work, { ...plan, catalogue });
    }
    return { settlements: done.settlements, targets: found };
  } finally {
    release();
  }
}

/**
 * How often level rows are made for one batch: again where its products are registered meanwhile.
 */
const levelsMadeMax = 4;

/** One call of commitBatch, for its attempts. */
interface Work extends CommitOptions {
  readonly submissions: readonly Submission[];
  readonly timer: StageTimer;
  readonly committing: Place['committing'];
}

/**
 * One transaction: committed, with no settlement where it only booked holds that had expired, or
 * rolled back because level rows have to be made first.
 */
async function attempt(
  work: Work,
  plan: Omit<LoadRequest, 'mode'>,
  ahead?: Transaction,
): Promise<{ settlements: Settlement[] } | { missing: Pair[] }> {
  const transaction = ahead?.follow() ?? (await Transaction.open(work.database.writes));
  try {
    const loaded = await loadStock(transaction, { ...plan, mode: 'lock' });
    work.timer.end('load');
    const missing = plan.catalogue === undefined ? loaded.missing : unmade(loaded);
    if (missing.length > 0) {
      await transaction.rollback();
      return { missing };
    }
    // Commands are decided on levels without overdue holds. Very many go first, in transactions of
    // their own.
    const isBacklogged = loaded.context.overdue.length > overdueMax;
    const task = isBacklogged ? { ...work, submissions: [], committing: () => {} } : work;
    return { settlements: await decideAndCommit(task, transaction, loaded) };
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
}

/**
 * Of the missing levels those whose warehouse and product are known. Others belong to commands that
 * are refused; these were registered since the catalogue was read, and what was loaded knows them.
 */
function unmade({ missing, stock }: LoadedStock): Pair[] {
  return missing.filter(
    ({ warehouse, product }) => stock.warehouses.has(warehouse) && stock.products.has(product),
  );
}

async function decideAndCommit(
  { submissions, timer, committing, render, retentionMs, observer }: Work,
  transaction: Transaction,
  loaded: LoadedStock,
): Promise<Settlement[]> {
  const { tenant } = loaded.stock;
  const { now, lapsedKeys, hasStandbys } = loaded.context;
  const recordedAt = [...loaded.levels.values()].reduce(
    (latest, level) => Math.max(latest, level.recordedAt),
    now,
  );
  const context = { now, recordedAt, nextId: () => uuidv7(recordedAt) };
  const expiresAt = now + retentionMs;
  const how = { render, context, expiresAt };
  const { settlements, effects } = decideAll(loaded, submissions, how);
  timer.end('decide');
  if (effects.postings.length > 0 || effects.records.length > 0) {
    const times = { recordedAt, now, expiresAt };
    const write = () => writeEffects(transaction, tenant, effects, lapsedKeys, times);
    await transaction.commit(write, () => committing(transaction));
  } else if (hasStandbys) {
    // All are repeats: the standbys must have what they repeat.
    await transaction.commit(() => [writeMessage(transaction)]);
  } else {
    await transaction.rollback();
  }
  timer.end('write');
  observer.batchCommitted?.({ commands: submissions.length, stagesMs: timer.stagesMs });
  return settlements;
}

/** Decides in order, each command seeing the effects of those before it. Reads no clock. */
function decideAll(
  loaded: LoadedStock,
  submissions: readonly Submission[],
  { render, context, expiresAt }: { render: Render; context: Context; expiresAt: number },
): { settlements: Settlement[]; effects: Effects } {
  const { stock } = loaded;
  const stored = new Map(loaded.context.records.map((record) => [record.key, record]));
  const posted: Posted[] = [];
  const records: StoredRecord[] = [];
  const post = (outcome: Outcome) => {
    apply(stock, outcome);
    if (outcome.posted) posted.push(outcome);
  };
  expire(stock, context).forEach(post);
  const settlements = submissions.map(({ key, fingerprint, command }): Settlement => {
    const before = stored.get(key);
    if (before !== undefined) {
      const { status, headers, body, expiresAt } = before;
      const answer = { status, headers, body };
      return { record: { fingerprint: before.fingerprint, answer, expiresAt }, replayed: true };
    }
    let outcome: Outcome;
    let answer: Answer;
    try {
      outcome = decide(stock, command, context);
      answer = render(outcome, command, context.now);
    } catch (error) {
      // A defect in deciding one command must not fail its neighbours; nothing of it was applied.
      return { error };
    }
    post(outcome);
    expire(stock, context).forEach(post);
    records.push({ key, fingerprint, ...answer, expiresAt });
    return { record: { fingerprint, answer, expiresAt }, replayed: false };
  });
  return { settlements, effects: effectsOf(loaded, posted, records) };
}

/**
 * Makes the missing level rows of known warehouses and products. The catalogue is read first: what
 * it knows has a row afterwards, also when a product is registered in between.
 */
async function makeLevels(
  database: Database,
  tenant: string,
  missing: readonly Pair[],
): Promise<Catalogue> {
  const catalogue = await findCatalogueOf(database.writes, tenant, missing);
  const warehouses = new Set(catalogue.warehouses);
  const products = new Set(catalogue.products);
  const known = missing.filter(
    (pair) => warehouses.has(pair.warehouse) && products.has(pair.product),
  );
  if (known.length > 0) await ensureLevels(database.writes, tenant, known);
  return catalogue;
}

class StageTimer {
  readonly stagesMs: Partial<Record<Stage, number>> = {};
  #last = performance.now();

  /** Ends a stage; one that runs twice adds up. */
  end(stage: Stage): void {
    const now = performance.now();
    this.stagesMs[stage] = (this.stagesMs[stage] ?? 0) + now - this.#last;
    this.#last = now;
  }
}
