import type { Mutant } from './mutant.ts';
import { crowded } from './profiles.ts';

/** A kill between the two commits leaves an effect that nobody remembers. */
export const recordOutside: Mutant = {
  name: 'record-outside-the-transaction',
  what: 'the idempotency record is written in a transaction of its own, after the effect',
  patches: [
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: '{ submissions, timer,',
      replace: '{ database, submissions, timer,',
    },
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: 'writeEffects(transaction, tenant, effects, lapsedKeys, times)',
      replace: 'writeEffects(transaction, tenant, { ...effects, records: [] }, lapsedKeys, times)',
    },
    {
      file: 'inventory/pipeline/commitBatch.ts',
      find: 'await transaction.commit(write, () => committing(transaction));',
      replace: `await transaction.commit(write, () => committing(transaction));
    const later = await Transaction.open(database.writes);
    await later.pipelined(() => later.begin());
    const nothing = { postings: [], expiries: [], levels: [], reservations: [] };
    const own = { ...nothing, records: effects.records };
    await later.commit(() => writeEffects(later, tenant, own, [], times));`,
    },
  ],
  kinds: ['kill-service', 'cut-postgres', 'kill-postgres'],
  profile: crowded,
  noticedBy: ['exactly-once', 'record'],
};
