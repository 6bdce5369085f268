import type { Anomaly, CheckName } from './check/anomaly.ts';
import type { FaultKind } from './injection/catalogue.ts';
import type { Hunt } from './mutants/hunt.ts';
import type { RunResult } from './run.ts';

/** What a run leaves for the page. */
export interface FaultRun {
  readonly kind: 'faults';
  readonly seed: number;
  readonly services: number;
  readonly minutes: number;
  readonly operations: number;
  readonly attempts: number;
  readonly reads: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly faults: Readonly<Partial<Record<FaultKind, Faults>>>;
  readonly anomalies: readonly Anomaly[];
  readonly settleMs: number;
  readonly diskReason: string | undefined;
}

export interface Faults {
  readonly count: number;
  /** Slowest recovery, in ms; undefined when none was measured. */
  readonly recoveryMs?: number;
}

export interface MutantRun {
  readonly kind: 'mutant';
  readonly name: string;
  readonly what: string;
  readonly detected: boolean;
  readonly by: CheckName | undefined;
  readonly message: string;
  readonly operations: number;
  readonly faults: number;
  readonly seconds: number;
  /** Anomalies of the same load and faults on the tree without the mutant. */
  readonly soundAnomalies: number;
}

export type Result = FaultRun | MutantRun;

const msPerMinute = 60_000;

export function faultRunOf(result: RunResult): FaultRun {
  const faults: Partial<Record<FaultKind, Faults>> = {};
  for (const [kind, of] of Map.groupBy(result.injected, (each) => each.kind)) {
    const recoveryMs = slowest(of);
    faults[kind] = { count: of.length, ...(recoveryMs === undefined ? {} : { recoveryMs }) };
  }
  return {
    kind: 'faults',
    seed: result.seed,
    services: result.services,
    minutes: result.tookMs / msPerMinute,
    operations: result.operations,
    attempts: result.attempts,
    reads: result.reads,
    outcomes: result.outcomes,
    faults,
    anomalies: result.anomalies,
    settleMs: Math.round(result.settleMs),
    diskReason: result.diskReason,
  };
}

/** The longest of the recoveries that were measured; undefined: none was. */
export function slowest(faults: readonly { readonly recoveryMs?: number }[]): number | undefined {
  const measured = faults.flatMap(({ recoveryMs }) => recoveryMs ?? []);
  return measured.length === 0 ? undefined : Math.round(Math.max(...measured));
}

export function mutantRunOf({ mutant, tookMs, sound, ...rest }: Hunt): MutantRun {
  const { name, what } = mutant;
  const seconds = Math.round(tookMs / 1000);
  return { kind: 'mutant', name, what, ...rest, seconds, soundAnomalies: sound.length };
}
