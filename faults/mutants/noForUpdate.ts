import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

/** Redis is emptied and killed, so that batches of two instances meet in the database. */
export const noForUpdate: Mutant = {
  name: 'no-for-update',
  what: 'levels are read without FOR UPDATE',
  patches: [
    {
      file: 'inventory/postgres/lockLevels.ts',
      find: "text: select('FOR UPDATE') };",
      replace: "text: select('') };",
    },
  ],
  kinds: ['flush-redis', 'kill-redis'],
  profile: crowded,
  noticedBy: ['guard', 'ledger', 'order'],
};
