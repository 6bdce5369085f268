import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Transaction } from '../postgres/transaction.ts';
import { OverloadedError, type Recorded, type Settlement, type Submission } from './batch.ts';
import type { CommitOptions } from './commitBatch.ts';
import { linesOf } from './footprint.ts';
import { type FirstAttempt, settleBatch } from './settleBatch.ts';

export interface PipelineOptions extends CommitOptions {
  /** Commands of one batch. More would only lengthen the wait of the first. */
  readonly batchCommandsMax: number;
  /** Commands waiting in this process, over all tenants. */
  readonly queueCommandsMax: number;
  /** How long a command may wait before its batch begins. */
  readonly queueWaitMs: number;
  /** Tenants at work at once: one database connection each. */
  readonly lanesMax: number;
}

interface Waiting {
  readonly submission: Submission;
  readonly since: number;
  readonly settle: (settlement: Settlement) => void;
}

interface Lane {
  readonly tenant: string;
  waiting: Waiting[];
  /** A lane is in line for a place, or at work in one, or idle. */
  state: 'idle' | 'ready' | 'working';
  /** Batches in flight: one that commits, one that loads behind it, or both. */
  inFlight: number;
  /** The latest batch in flight. */
  latest: Flight | undefined;
  /** Batches in flight whose first attempt failed. */
  failed: number;
}

/** A batch from its begin until it is settled. */
interface Flight {
  /** Set once its COMMIT is on its way: the next batch may follow on its connection. */
  committing: Transaction | undefined;
  /** The batch that followed. */
  behind: Flight | undefined;
  hasFailed: boolean;
  /** Resolves when its first attempt is over. */
  readonly tried: PromiseWithResolvers<void>;
  /** Resolves when all of its commands are settled. */
  readonly settled: PromiseWithResolvers<void>;
}

/** Answers that are written before replies of the database and of Redis are read again. */
const answersAtOnce = 32;

/** How often commands that waited too long are turned away while their lane is stuck. */
const shedEveryMs = 250;

/**
 * Gathers commands into batches and settles each command after its batch's COMMIT.
 *
 * Every tenant has a lane. While a lane's batch loads, its next commands gather; when its COMMIT is
 * on its way they are the next batch, which begins behind that COMMIT on the same connection. So
 * the database goes from one batch to the next by itself while the answers of the last are written,
 * and a hot row passes on without a wait for this process. An idle lane commits a batch of one at
 * once: nothing waits for company. Lanes that are ready take turns for `lanesMax` places.
 *
 * A batch whose first attempt fails lets the one behind it finish, and nobody follows until both
 * are settled: what is tried again is alone on its connection.
 *
 * A command enters (`submit`), waits, is in a batch, and is settled exactly once: with its recorded
 * answer, or with an error that says that nothing is known to be recorded.
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #ready: Lane[] = [];
  /** Lanes whose next batch may follow one that commits. */
  readonly #following = new Set<Lane>();
  readonly #shedding: NodeJS.Timeout;
  /** Lanes at work. */
  #working = 0;
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
  submit(submission: Submission): Promise<Recorded> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new OverloadedError('the service is stopping');
      if (this.#waiting >= this.#options.queueCommandsMax) {
        throw new OverloadedError('the queue of commands is full');
      }
      const settle = (settlement: Settlement) => {
        if ('error' in settlement) reject(settlement.error);
        else resolve(settlement);
      };
      this.#enqueue({ submission, since: performance.now(), settle });
    });
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
      lane = { tenant, waiting: [], state: 'idle', inFlight: 0, latest: undefined, failed: 0 };
      this.#lanes.set(tenant, lane);
    }
    lane.waiting.push(waiting);
    this.#waiting += 1;
    if (lane.state === 'idle') this.#makeReady(lane);
    else if (lane.latest?.committing !== undefined) {
      this.#following.add(lane);
      this.#scheduleStart();
    }
  }

  #makeReady(lane: Lane): void {
    lane.state = 'ready';
    this.#ready.push(lane);
    this.#scheduleStart();
  }

  /**
   * After the callbacks of this turn of the event loop: commands that arrived together go together.
   */
  #scheduleStart(): void {
    if (this.#startScheduled) return;
    this.#startScheduled = true;
    setImmediate(() => {
      this.#startScheduled = false;
      this.#startBatches();
    });
  }

  #startBatches(): void {
    for (const lane of this.#following) this.#follow(lane);
    this.#following.clear();
    while (this.#working < this.#options.lanesMax) {
      const lane = this.#ready.shift();
      if (lane === undefined) return;
      const batch = this.#take(lane);
      if (batch.length === 0) {
        this.#rest(lane);
      } else {
        lane.state = 'working';
        this.#working += 1;
        void this.#run(lane, batch);
      }
    }
  }

  /**
   * Begins the lane's next batch behind the one that commits, unless other lanes wait for its
   * place.
   */
  #follow(lane: Lane): void {
    if (lane.latest?.committing === undefined || lane.failed > 0) return;
    if (this.#ready.length > 0 && this.#working >= this.#options.lanesMax) return;
    const batch = this.#take(lane);
    if (batch.length > 0) void this.#run(lane, batch);
  }

  async #run(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    const flight: Flight = {
      committing: undefined,
      behind: undefined,
      hasFailed: false,
      tried: Promise.withResolvers(),
      settled: Promise.withResolvers(),
    };
    const ahead = lane.latest;
    if (ahead !== undefined) ahead.behind = flight;
    lane.latest = flight;
    lane.inFlight += 1;
    let left = batch;
    for await (const settlements of this.#settle(batch, this.#firstAttempt(lane, flight, ahead))) {
      const part = left.slice(0, settlements.length);
      left = left.slice(settlements.length);
      // The next batch first: the database works on it while the answers of this one are written.
      if (left.length === 0) this.#land(lane, flight);
      void this.#answer(part, settlements);
    }
  }

  /**
   * @yields the settlements of each part when it is settled, in order; in the end there is one of
   *   each
   */
  async *#settle(
    batch: readonly Waiting[],
    first: FirstAttempt,
  ): AsyncGenerator<readonly Settlement[], void> {
    const submissions = batch.map(({ submission }) => submission);
    let settled = 0;
    try {
      for await (const part of settleBatch(this.#options, submissions, first)) {
        settled += part.length;
        yield part;
      }
    } catch (error) {
      yield submissions.slice(settled).map(() => ({ error }));
    }
  }

  /** All of a batch is settled: who waits for that goes on. */
  #land(lane: Lane, flight: Flight): void {
    flight.tried.resolve();
    flight.settled.resolve();
    if (lane.latest === flight) lane.latest = undefined;
    if (flight.hasFailed) lane.failed -= 1;
    lane.inFlight -= 1;
    if (lane.inFlight === 0) this.#giveUpPlace(lane);
  }

  #firstAttempt(lane: Lane, flight: Flight, ahead: Flight | undefined): FirstAttempt {
    return {
      place: {
        ahead: ahead?.committing,
        committing: (transaction) => {
          flight.committing = transaction;
          this.#follow(lane);
        },
      },
      over: () => flight.tried.resolve(),
      failed: async () => {
        flight.hasFailed = true;
        lane.failed += 1;
        flight.tried.resolve();
        await ahead?.settled.promise;
        // More than one may have followed by the time that a failure is known here.
        for (let next = flight.behind; next !== undefined; next = next.behind) {
          await next.tried.promise;
        }
      },
    };
  }

  #giveUpPlace(lane: Lane): void {
    this.#working -= 1;
    if (lane.waiting.length > 0) this.#makeReady(lane);
    else this.#rest(lane);
    this.#startBatches();
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

  /** The lane has no batch and no place; it is forgotten while nobody waits in it. */
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

  /** Answers a few at a time, so that what the next batch waits for is read in between. */
  async #answer(part: readonly Waiting[], settlements: readonly Settlement[]): Promise<void> {
    this.#answering += 1;
    for (let at = 0; at < part.length; at++) {
      if (at > 0 && at % answersAtOnce === 0) await nextTurn();
      (part[at] as Waiting).settle(settlements[at] as Settlement);
    }
    this.#answering -= 1;
    this.#resolveIfDrained();
  }

  #resolveIfDrained(): void {
    if (!this.#closed || this.#waiting > 0) return;
    if (this.#working === 0 && this.#answering === 0) this.#drained.resolve();
  }
}
