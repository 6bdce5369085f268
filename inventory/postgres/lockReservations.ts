import { textArray } from './arrays.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'lock-reservations',
  text: `
    SELECT reservation_id FROM reservations
    WHERE tenant_id = $1 AND reservation_id = ANY($2::uuid[])
    ORDER BY reservation_id
    FOR UPDATE`,
};

/**
 * Locks reservations in the order of their ids, before any level is locked. Their state is read
 * behind the level locks (`loadReservations`): what is read while waiting for a lock may be old.
 */
export async function lockReservations(
  transaction: Transaction,
  tenant: string,
  ids: readonly string[],
): Promise<void> {
  await transaction.query({ ...statement, values: [tenant, textArray(ids)] });
}
