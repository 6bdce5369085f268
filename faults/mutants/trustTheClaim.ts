import type { Patch } from './mutant.ts';

/**
 * The guards behind the claim, taken away: the batch does not look for what its keys became, and a
 * second record of a key is dropped in silence. By itself the claim in Redis must never matter, so a
 * defect in it shows only when nothing stands behind it.
 */
export const noLookUp: readonly Patch[] = [
  {
    file: 'inventory/pipeline/commitBatch.ts',
    find: 'new Map(loaded.context.records.map((record) => [record.key, record]));',
    replace: 'new Map<string, StoredRecord>();',
  },
  {
    file: 'inventory/postgres/insertRecords.ts',
    find: 'AS r (key, status, headers, start, length, n)`,',
    replace: 'AS r (key, status, headers, start, length, n) ON CONFLICT DO NOTHING`,',
  },
];
