import type { Patch } from '../supervisor/tree.ts';

/**
 * The guards behind the claim, taken away: the batch does not look for what its keys became, and a
 * key may have two records. By itself the claim in Redis must never matter, so a
 * defect in it shows only when nothing stands behind it.
 */
export const noLookUp: readonly Patch[] = [
  {
    file: 'inventory/pipeline/commitBatch.ts',
    find: 'new Map(loaded.context.records.map((record) => [record.key, record]));',
    replace: 'new Map<string, StoredRecord>();',
  },
  {
    file: 'inventory/migrations/000001_initial.sql',
    find: 'PRIMARY KEY (scope, key)',
    replace: 'CHECK (status > 0)',
  },
];
