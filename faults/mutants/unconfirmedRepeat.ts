import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

/**
 * A commit that waited for the standby is there after a crash, is repeated, and lost with the
 * primary.
 */
export const unconfirmedRepeat: Mutant = {
  name: 'unconfirmed-repeat',
  what: 'a repeat is answered from a record that no standby has yet',
  patches: [
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: '} else if (hasStandbys) {',
      replace: '} else if (false) {',
    },
    {
      file: 'inventory/postgres/standbys.ts',
      find: 'return found?.hasStandbys ? this.#confirmed.load({ tenant, key }) : found?.record;',
      replace: 'return found?.record;',
    },
  ],
  kinds: ['lose-recovered-primary'],
  profile: crowded,
  standby: true,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};
