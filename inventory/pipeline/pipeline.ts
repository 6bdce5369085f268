import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Settlement, Submission } from './batch.ts';
import type { CommitOptions } from './commitBatch.ts';
import { linesOf } from './footprint.ts';
import { settleBatch } from './settleBatch.ts';

/** The queue is full, or the command waited in it too long; nothing was done. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

export interface PipelineOptions extends CommitOptions {
  /** Commands of one batch. More would only lengthen the wait of the first. */
  readonly batchCommandsMax: number;
  /** Commands waiting in this process, over all tenants. */
  readonly queueCommandsMax: number;
  /** How long a command may wait before its batch begins. */
  readonly queueWaitMs: number;
  /** Batches committing at once, each of another tenant: one database connection each. */
  readonly batchesMax: number;
}

interface Waiting {
  readonly submission: Submission;
  readonly since: number;
  readonly settle: (settlement: Settlement) => void;
}

interface Lane {
  readonly tenant: string;
  waiting: Waiting[];
  /** A lane is in line for a batch, or in one, or idle. */
  state: 'idle' | 'ready' | 'committing';
}

/** Answers that are written before replies of the database and of Redis are read again. */
const answersAtOnce = 32;

/** How often commands that waited too long are turned away while their lane is stuck. */
const shedEveryMs = 250;

/**
 * Gathers commands into batches and settles each command after its batch's COMMIT.
 *
 * Every tenant has a lane. While a lane's batch commits, its next commands gather; when it is done
 * they are the next batch. An idle lane commits a batch of one at once: nothing waits for company.
 * Lanes that are ready take turns for `batchesMax` places.
 *
 * A command enters (`submit`), waits, is in a batch, and is settled exactly once: with its recorded
 * answer, or with an error that says that its key stays free.
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #ready: Lane[] = [];
  readonly #shedding: NodeJS.Timeout;
  #committing = 0;
  #answering = 0;
  #waiting = 0;
  #startScheduled = false;
  #closed = false;
  #drained = Promise.withResolvers<void>();

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.#shedding = setInterval(() => this.#shed(), shedEveryMs).unref();
  }

  /** Commands that wait for a batch. */
  get queueLength(): number {
    return this.#waiting;
  }

  /**
   * @returns the recorded answer, once it is committed
   * @throws OverloadedError, DatabaseUnavailableError: nothing recorded by this process
   */
  async submit(submission: Submission): Promise<Exclude<Settlement, { readonly error: unknown }>> {
    if (this.#closed) throw new OverloadedError('the service is stopping');
    if (this.#waiting >= this.#options.queueCommandsMax) {
      throw new OverloadedError('the queue of commands is full');
    }
    const settlement = await new Promise<Settlement>((settle) => {
      this.#enqueue({ submission, since: performance.now(), settle });
    });
    if ('error' in settlement) throw settlement.error;
    return settlement;
  }

  /** Takes nothing new; resolves when everything that was taken is settled. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#resolveIfDrained();
    await this.#drained.promise;
    clearInterval(this.#shedding);
  }

  #enqueue(waiting: Waiting): void {
    const { tenant } = waiting.submission;
    let lane = this.#lanes.get(tenant);
    if (lane === undefined) {
      lane = { tenant, waiting: [], state: 'idle' };
      this.#lanes.set(tenant, lane);
    }
    lane.waiting.push(waiting);
    this.#waiting += 1;
    if (lane.state === 'idle') this.#makeReady(lane);
  }

  #makeReady(lane: Lane): void {
    lane.state = 'ready';
    this.#ready.push(lane);
    this.#scheduleStart();
  }

  /** After the callbacks of this turn of the event loop: commands that arrived together go together. */
  #scheduleStart(): void {
    if (this.#startScheduled) return;
    this.#startScheduled = true;
    setImmediate(() => {
      this.#startScheduled = false;
      this.#startBatches();
    });
  }

  #startBatches(): void {
    while (this.#committing < this.#options.batchesMax) {
      const lane = this.#ready.shift();
      if (lane === undefined) return;
      const batch = this.#take(lane);
      if (batch.length === 0) this.#rest(lane);
      else void this.#commit(lane, batch);
    }
  }

  async #commit(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    lane.state = 'committing';
    this.#committing += 1;
    const settlements = await this.#settle(batch.map(({ submission }) => submission));
    this.#committing -= 1;
    this.#answering += 1;
    // The next batch first: the database works on it while the answers of this one are written.
    if (lane.waiting.length > 0) this.#makeReady(lane);
    else this.#rest(lane);
    this.#startBatches();
    await answer(batch, settlements);
    this.#answering -= 1;
    this.#resolveIfDrained();
  }

  async #settle(submissions: readonly Submission[]): Promise<Settlement[]> {
    try {
      return await settleBatch(this.#options, submissions);
    } catch (error) {
      return submissions.map(() => ({ error }));
    }
  }

  /**
   * The lane's oldest commands, up to the bounds of a batch. A key is in a batch once: its second
   * request waits for the next batch and finds the first one's record.
   */
  #take(lane: Lane): Waiting[] {
    const { batchCommandsMax, batchLinesMax } = this.#options;
    const keys = new Set<string>();
    let lines = 0;
    let taken = 0;
    for (const { submission } of lane.waiting) {
      lines += linesOf(submission.command);
      if (taken === batchCommandsMax || keys.has(submission.key)) break;
      if (taken > 0 && lines > batchLinesMax) break;
      keys.add(submission.key);
      taken += 1;
    }
    this.#waiting -= taken;
    return lane.waiting.splice(0, taken);
  }

  #rest(lane: Lane): void {
    lane.state = 'idle';
    if (lane.waiting.length === 0) this.#lanes.delete(lane.tenant);
  }

  /** Turns away what has waited too long; first come is at the front of each lane. */
  #shed(): void {
    const before = performance.now() - this.#options.queueWaitMs;
    for (const lane of this.#lanes.values()) {
      let late = 0;
      while (late < lane.waiting.length && (lane.waiting[late] as Waiting).since < before)
        late += 1;
      if (late === 0) continue;
      this.#waiting -= late;
      const error = new OverloadedError('the command waited too long in the queue');
      for (const { settle } of lane.waiting.splice(0, late)) settle({ error });
    }
    this.#resolveIfDrained();
  }

  #resolveIfDrained(): void {
    if (!this.#closed || this.#waiting > 0) return;
    if (this.#committing === 0 && this.#answering === 0) this.#drained.resolve();
  }
}

/** Settles a few at a time, so that what the next batch waits for is read in between. */
async function answer(
  batch: readonly Waiting[],
  settlements: readonly Settlement[],
): Promise<void> {
  for (let i = 0; i < batch.length; i++) {
    if (i > 0 && i % answersAtOnce === 0) await nextTurn();
    (batch[i] as Waiting).settle(settlements[i] as Settlement);
  }
}
