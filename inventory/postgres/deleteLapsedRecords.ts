import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'delete-lapsed-records',
  text: `
    DELETE FROM idempotency_records
    WHERE scope = $1 AND key = ANY($2::text[]) AND expires_at <= clock_timestamp()`,
};

/** Makes room for new records under keys whose old ones have outlived their retention. */
export function deleteLapsedRecords(
  transaction: Transaction,
  tenant: string,
  keys: readonly string[],
): Promise<unknown> {
  return transaction.query({ ...statement, values: [tenant, textArray(keys)] });
}
