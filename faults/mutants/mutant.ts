import type { CheckName } from '../check/anomaly.ts';
import type { FaultKind } from '../injection/catalogue.ts';
import type { Patch } from '../supervisor/tree.ts';
import type { Profile } from '../workload/profile.ts';

/**
 * A defect seeded on purpose, to see that the check can fail.
 *
 * It lives only here, as patches of a temporary copy of the tree: production code carries nothing
 * of it, no flag and no branch.
 */
export interface Mutant {
  readonly name: string;
  readonly what: string;
  readonly patches: readonly Patch[];
  /** The faults that bring it out; none: load alone does. */
  readonly kinds: readonly FaultKind[];
  readonly profile?: Partial<Profile>;
  readonly services?: number;
  /** Whether commits wait for a standby, which takes seconds to build; default false. */
  readonly standby?: boolean;
  /** Checks that may notice it first. */
  readonly noticedBy: readonly CheckName[];
}
