import { setTimeout as delay } from 'node:timers/promises';
import type { Anomaly, CheckName } from './check/anomaly.ts';
import { check } from './check/check.ts';
import { checkServers } from './check/servers.ts';
import { readSnapshot } from './check/snapshot.ts';
import type { FaultKind } from './injection/catalogue.ts';
import { type Injected, Injector } from './injection/injector.ts';
import { Random } from './random.ts';
import { Cluster } from './supervisor/cluster.ts';
import type { Patch } from './supervisor/tree.ts';
import { codeOf, finalAnswer, type History } from './workload/history.ts';
import type { Profile } from './workload/profile.ts';
import { Workload } from './workload/workload.ts';

export interface RunOptions {
  readonly seed: number;
  /** How long faults are injected, in ms, over all rounds. */
  readonly forMs: number;
  /** After this long, in ms, everything heals, settles and is checked; then the next round. */
  readonly roundMs: number;
  readonly services: number;
  readonly standby: boolean;
  readonly kinds: readonly FaultKind[];
  readonly profile: Profile;
  /** Defects to seed; none: the service as it is. */
  readonly patches: readonly Patch[];
  readonly faultPauseMs: { readonly min: number; readonly max: number };
  /** Liveness: after the last fault healed, everything must be settled within this, in ms. */
  readonly settleWithinMs: number;
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly services: number;
  readonly operations: number;
  readonly attempts: number;
  readonly reads: number;
  readonly postings: number;
  /** Operations by their final status and code. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly injected: readonly Injected[];
  readonly anomalies: readonly Anomaly[];
  /** Longest time to settle everything after the last fault of a round, in ms. */
  readonly settleMs: number;
  readonly tookMs: number;
  /** Why a fault could not be injected here. */
  readonly diskReason: string | undefined;
}

/**
 * Patience with the start of what was broken, before the time to settle begins to count: processes
 * of a test machine with two busy cores start in seconds.
 */
const startWaitMs = 60_000;

/** One run: a cluster of its own, a workload, faults, and the check after each round. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { services, standby, patches, profile } = options;
  const cluster = await Cluster.start({ services, standby, patches, tenants: profile.tenants });
  try {
    return await new Run(options, cluster).play();
  } finally {
    await cluster.stop();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #cluster: Cluster;
  readonly #injector: Injector;
  readonly #workload: Workload;
  readonly #anomalies: Anomaly[] = [];
  #settleMs = 0;

  constructor(options: RunOptions, cluster: Cluster) {
    this.#options = options;
    this.#cluster = cluster;
    const { kinds, faultPauseMs: pauseMs, onLine } = options;
    this.#injector = new Injector({
      random: new Random(options.seed ^ 0x5eed),
      cluster,
      kinds,
      pauseMs,
      ...(onLine === undefined ? {} : { onFault: onLine }),
    });
    this.#workload = new Workload({
      seed: options.seed,
      profile: options.profile,
      ports: cluster.services.map(({ front }) => front.port),
      apiKeys: cluster.tenants,
      onAnswer: ({ instance, sentAt }, { at, status }) => {
        if (status === 201) this.#injector.recoveries.noteAnswer(instance, sentAt, at);
      },
    });
  }

  async play(): Promise<RunResult> {
    const began = performance.now();
    await this.#workload.prepare();
    for (let playedMs = 0; playedMs < this.#options.forMs; playedMs += this.#options.roundMs) {
      await this.#round(Math.min(this.#options.roundMs, this.#options.forMs - playedMs));
      if (this.#anomalies.length > 0) break;
    }
    this.#workload.caller.http.close();
    return this.#result(performance.now() - began);
  }

  async #round(ms: number): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await Promise.all([this.#workload.run(signal), this.#injector.run(signal)]);
    await this.#heal();
    const { settleWithinMs } = this.#options;
    const tookMs = await this.#workload.settle(settleWithinMs);
    this.#settleMs = Math.max(this.#settleMs, tookMs);
    this.#injector.recoveries.stop();
    const { history, caller } = this.#workload;
    const open = history.operations.filter((each) => !each.abandoned && !finalAnswer(each));
    for (const { id, attempts } of open.slice(0, 5)) {
      const last = attempts.findLast(({ answer }) => answer !== undefined)?.answer;
      this.#report('liveness', `${id} is not settled after ${settleWithinMs} ms: ${last?.body}`);
    }
    await checkServers(this.#cluster, caller, history, this.#report);
    const { postgres } = this.#cluster;
    const snapshot = await postgres.primary.session(readSnapshot, 'onhand');
    this.#anomalies.push(...check(history, snapshot, postgres.lost));
    this.#options.onLine?.(
      `checked ${history.operations.length} operations, ${this.#injector.injected.length} faults: ` +
        `${this.#anomalies.length} anomalies; settled in ${Math.round(tookMs)} ms`,
    );
  }

  /** All faults have healed; this waits until what was killed is there again. */
  async #heal(): Promise<void> {
    for (const link of this.#cluster.links) link.heal();
    const late = delay(startWaitMs, 'late', { ref: false });
    const ready = Promise.all([
      this.#cluster.postgres.settled(),
      ...this.#cluster.services.map((service) => service.ready),
    ]);
    if ((await Promise.race([ready, late])) === 'late') {
      this.#report('liveness', `not everything started within ${startWaitMs} ms`);
    }
  }

  readonly #report = (check: CheckName, message: string) => {
    this.#anomalies.push({ check, message });
  };

  #result(tookMs: number): RunResult {
    const { history } = this.#workload;
    return {
      seed: this.#options.seed,
      services: this.#options.services,
      operations: history.operations.length,
      attempts: history.operations.reduce((sum, { attempts }) => sum + attempts.length, 0),
      reads: history.reads.length,
      postings: history.operations.filter((each) => finalAnswer(each)?.status === 201).length,
      outcomes: outcomesOf(history),
      injected: this.#injector.injected,
      anomalies: this.#anomalies,
      settleMs: this.#settleMs,
      tookMs,
      diskReason: this.#cluster.diskReason,
    };
  }
}

function outcomesOf({ operations }: History): Record<string, number> {
  const outcomes: Record<string, number> = {};
  const count = (name: string) => {
    outcomes[name] = (outcomes[name] ?? 0) + 1;
  };
  for (const operation of operations) {
    const answer = finalAnswer(operation);
    if (answer === undefined) count('unanswered');
    else if (answer.status < 400) count(String(answer.status));
    else count(`${answer.status} ${codeOf(answer.body)}`);
    for (const { answer: each } of operation.attempts) {
      if (each !== undefined && each.status >= 500) {
        count(`attempt: ${each.status} ${codeOf(each.body)}`);
      }
    }
  }
  return outcomes;
}
