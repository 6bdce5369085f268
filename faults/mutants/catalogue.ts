import { answerBeforeCommit } from './answerBeforeCommit.ts';
import { cancelledCommit } from './cancelledCommit.ts';
import { claimWithoutOwner } from './claimWithoutOwner.ts';
import { clampedQuantity } from './clampedQuantity.ts';
import { fingerprintIgnored } from './fingerprintIgnored.ts';
import { levelFromCache } from './levelFromCache.ts';
import { localCommit } from './localCommit.ts';
import { lostFencing } from './lostFencing.ts';
import type { Mutant } from './mutant.ts';
import { noForUpdate } from './noForUpdate.ts';
import { recordOutside } from './recordOutside.ts';
import { retryWithoutLooking } from './retryWithoutLooking.ts';
import { serviceClock } from './serviceClock.ts';
import { splitAppliedTwice } from './splitAppliedTwice.ts';
import { unconfirmedRepeat } from './unconfirmedRepeat.ts';
import { unsortedLocks } from './unsortedLocks.ts';

export const mutants: readonly Mutant[] = [
  noForUpdate,
  unsortedLocks,
  recordOutside,
  answerBeforeCommit,
  claimWithoutOwner,
  fingerprintIgnored,
  levelFromCache,
  retryWithoutLooking,
  serviceClock,
  lostFencing,
  clampedQuantity,
  splitAppliedTwice,
  localCommit,
  unconfirmedRepeat,
  cancelledCommit,
];
