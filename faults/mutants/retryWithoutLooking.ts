import type { Mutant } from './mutant.ts';
import { noLookUp } from './noLookUp.ts';
import { crowded } from './profiles.ts';

/** The connection breaks between COMMIT and its reply; the batch is run again as if it were new. */
export const retryWithoutLooking: Mutant = {
  name: 'retry-without-looking',
  what: 'after a commit of unknown outcome the batch is run again without a look at its keys',
  patches: noLookUp,
  kinds: ['cut-postgres', 'half-open', 'kill-postgres'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record', 'repeat'],
};
