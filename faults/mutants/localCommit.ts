import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const localCommit: Mutant = {
  name: 'local-commit',
  what: 'commits wait for the disk of the primary only, so a failover loses what was answered',
  patches: [
    {
      file: 'inventory/postgres/database.ts',
      find: "  default_transaction_isolation: 'read committed',",
      replace: "  default_transaction_isolation: 'read committed',\n  synchronous_commit: 'local',",
    },
  ],
  kinds: ['lose-primary'],
  profile: crowded,
  standby: true,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};
