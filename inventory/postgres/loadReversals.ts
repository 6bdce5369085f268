import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'load-reversals',
  text: `
    SELECT reverses, posting_id FROM postings
    WHERE tenant_id = $1 AND reverses = ANY($2::uuid[])`,
};

/**
 * Which of the postings are reversed already, and by which posting. Issue it behind the level
 * locks: a reversal moves the same levels as its posting, so the locks order two of them.
 */
export async function loadReversals(
  transaction: Transaction,
  tenant: string,
  postings: readonly string[],
): Promise<Map<string, string>> {
  const { rows } = await transaction.query<[string, string]>({
    ...statement,
    values: [tenant, textArray(postings)],
  });
  return new Map(rows);
}
