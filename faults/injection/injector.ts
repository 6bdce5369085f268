import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Cluster } from '../supervisor/cluster.ts';
import { type Fault, type FaultKind, faultKinds } from './catalogue.ts';
import { type Healed, Recoveries } from './recoveries.ts';

/** One fault that was injected. */
export interface Injected extends Healed {
  readonly kind: FaultKind;
  readonly target: string;
  readonly at: number;
  healedAt: number;
}

export interface InjectorOptions {
  readonly random: Random;
  readonly cluster: Cluster;
  readonly kinds: readonly FaultKind[];
  /** Pause between two faults, in ms; they overlap. */
  readonly pauseMs: { readonly min: number; readonly max: number };
  readonly onFault?: (line: string) => void;
}

/** Faults at once, at most. */
const overlapMax = 3;

/**
 * Injects faults of the chosen kinds at random instants.
 *
 * Faults of different things overlap; those of one thing follow each other. Each one heals by
 * itself, and `run` resolves when all are healed.
 */
export class Injector {
  readonly injected: Injected[] = [];
  readonly recoveries = new Recoveries();
  readonly #options: InjectorOptions;
  readonly #active = new Map<string, Promise<void>>();
  #failure: Error | undefined;

  constructor(options: InjectorOptions) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { random, kinds, pauseMs } = this.#options;
    while (!signal.aborted && kinds.length > 0) {
      await delay(random.between(pauseMs.min, pauseMs.max), undefined, { signal }).catch(() => {});
      if (signal.aborted || this.#active.size >= overlapMax) continue;
      this.#begin(random.pick(kinds));
    }
    await Promise.all(this.#active.values());
    if (this.#failure !== undefined) throw this.#failure;
  }

  #begin(kind: FaultKind): void {
    const fault = faultKinds[kind].draw(this.#options.cluster, this.#options.random);
    if (fault === undefined || this.#active.has(fault.thing)) return;
    const done = this.#inject(kind, fault)
      .catch((error) => {
        this.#failure ??= new Error(`${kind} ${fault.target} failed`, { cause: error });
      })
      .finally(() => this.#active.delete(fault.thing));
    this.#active.set(fault.thing, done);
  }

  async #inject(kind: FaultKind, fault: Fault): Promise<void> {
    const record: Injected = { kind, target: fault.target, at: performance.now(), healedAt: 0 };
    const heal = await fault.inject();
    if (heal === undefined) return;
    this.injected.push(record);
    this.#options.onFault?.(`${kind} ${fault.target}`);
    await delay(fault.lastsMs);
    await heal();
    record.healedAt = performance.now();
    this.recoveries.wait(record, fault.instances);
  }
}
