import type { Mutant } from './mutant.ts';
import { transfersOnly } from './profiles.ts';

export const unsortedLocks: Mutant = {
  name: 'unsorted-locks',
  what: 'rows are locked in the order in which the commands name them',
  patches: [
    {
      file: 'inventory/pipeline/footprint.ts',
      find: 'pairs: [...pairs.values()].sort(byWarehouseAndProduct),',
      replace: 'pairs: [...pairs.values()],',
    },
  ],
  kinds: ['kill-redis', 'pause-redis'],
  profile: transfersOnly,
  noticedBy: ['deadlock'],
};
