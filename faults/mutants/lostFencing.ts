import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

/**
 * The Redis lock is believed instead of the rows: levels are read, the row locks given up, and what
 * was decided is written later, whoever has the lock by then. A pause past the lease does the rest.
 * The primary key of movements is taken away, for it would fence the write.
 */
export const lostFencing: Mutant = {
  name: 'lost-fencing',
  what: 'a lease that was lost still writes: nothing checks it (and nothing stands behind it)',
  patches: [
    {
      file: 'inventory/postgres/lockLevels.ts',
      find: "text: select('FOR UPDATE') };",
      replace: "text: select('') };",
    },
    {
      file: 'inventory/migrations/000001_initial.sql',
      find: '  PRIMARY KEY (tenant_id, warehouse, product, sequence)\n',
      replace: '  CHECK (sequence > 0)\n',
    },
    {
      file: 'inventory/pipeline/pairLocks.ts',
      find: '{ leaseMs, waitMs },',
      replace: '{ leaseMs, waitMs: 4_000 },',
    },
    {
      file: 'inventory/pipeline/pairLocks.ts',
      find: 'observer.lockMissed?.(error);\n      return undefined;',
      replace: 'throw error;',
    },
    {
      file: 'inventory/postgres/database.ts',
      find: 'const idleInTransactionTimeoutMs = 4_000;',
      replace: 'const idleInTransactionTimeoutMs = 0;',
    },
  ],
  kinds: ['pause-service'],
  profile: crowded,
  noticedBy: ['ledger', 'order', 'exactly-once'],
};
