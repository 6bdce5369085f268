import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

/** A kill between the two commits leaves an effect that nobody remembers. */
export const recordOutside: Mutant = {
  name: 'record-outside-the-transaction',
  what: 'the idempotency record is written in a transaction of its own, after the effect',
  patches: [
    {
      file: 'inventory/pipeline/writeEffects.ts',
      find: 'if (records.length > 0) {',
      replace: 'if (records.length > 0 && postings.length === 0) {',
    },
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: `    await transaction.commit(() => writeEffects(transaction, tenant, effects, lapsedKeys, times));
`,
      replace: `    await transaction.commit(() => writeEffects(transaction, tenant, effects, lapsedKeys, times));
    if (effects.postings.length > 0) {
      const later = await Transaction.open(options.database.writes);
      await later.begin();
      const only = { postings: [], expiries: [], levels: [], reservations: [] };
      const own = { ...only, records: effects.records };
      await later.commit(() => writeEffects(later, tenant, own, [], times));
    }
`,
    },
  ],
  kinds: ['kill-service', 'cut-postgres', 'kill-postgres'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record'],
};
