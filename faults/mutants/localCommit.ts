import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const localCommit: Mutant = {
  name: 'local-commit',
  what: 'commits wait for the disk of the primary only, so a failover loses what was answered',
  patches: [
    {
      file: 'inventory/postgres/database.ts',
      find: "  synchronous_commit: 'on',",
      replace: "  synchronous_commit: 'local',",
    },
    {
      file: 'inventory/postgres/database.ts',
      find: "    WHEN 'synchronous_commit' THEN current_setting(name) IN ('off', 'local')",
      replace: "    WHEN 'synchronous_commit' THEN true",
    },
  ],
  kinds: ['lose-primary'],
  profile: crowded,
  standby: true,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};
