import type { Anomaly, CheckName } from '../check/anomaly.ts';
import { type RunResult, run } from '../run.ts';
import type { Patch } from '../supervisor/tree.ts';
import { mixedProfile } from '../workload/profile.ts';
import type { Mutant } from './mutant.ts';

/** A mutant is to be detected within this, in ms of load and faults. */
export const huntMs = 180_000;

/** A check after every such piece, in ms. */
const roundMs = 10_000;

/** Less than for a sound service: what does not settle here is the mutant's doing. */
const settleWithinMs = 30_000;

export interface Hunt {
  readonly mutant: Mutant;
  readonly detected: boolean;
  /** The check that noticed it first. */
  readonly by: CheckName | undefined;
  readonly message: string;
  readonly operations: number;
  readonly faults: number;
  readonly tookMs: number;
  /**
   * What the same load and faults brought out without the mutant: nothing, if the check is fair.
   */
  readonly sound: readonly Anomaly[];
}

/** Runs the suite against a tree with one defect in it until the check fails, then without it. */
export async function hunt(mutant: Mutant, seed: number): Promise<Hunt> {
  const result = await runOn(mutant.patches, mutant, seed, huntMs);
  const control = await runOn([], mutant, seed, roundMs);
  const { anomalies } = result;
  const first = anomalies.find(({ check }) => mutant.noticedBy.includes(check)) ?? anomalies[0];
  return {
    mutant,
    detected: first !== undefined,
    by: first?.check,
    message: first?.message ?? '',
    operations: result.operations,
    faults: result.injected.length,
    tookMs: result.tookMs,
    sound: control.anomalies,
  };
}

function runOn(
  patches: readonly Patch[],
  { kinds, profile, services, standby }: Mutant,
  seed: number,
  forMs: number,
): Promise<RunResult> {
  return run({
    seed,
    forMs,
    roundMs,
    services: services ?? 2,
    standby: standby ?? false,
    kinds,
    profile: { ...mixedProfile, ...profile },
    patches,
    faultPauseMs: { min: 100, max: 600 },
    settleWithinMs,
  });
}
