import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

export const cancelledCommit: Mutant = {
  name: 'cancelled-commit',
  what: 'a COMMIT whose wait for the standby was cancelled is acknowledged',
  patches: [
    {
      file: 'inventory/postgres/confirmed.ts',
      find: '    if (doubt !== undefined) throw doubt;\n',
      replace: '',
    },
  ],
  kinds: ['cancel-commits'],
  profile: crowded,
  standby: true,
  noticedBy: ['exactly-once', 'record', 'repeat', 'read', 'order'],
};
