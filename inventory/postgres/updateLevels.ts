import { hexArray, plainArray, textArray } from './arrays.ts';
import type { LockedLevel } from './lockLevels.ts';
import type { Transaction } from './transaction.ts';

const statement = {
  name: 'update-levels',
  text: `
    UPDATE levels l
    SET on_hand = new.on_hand, reserved = new.reserved, sequence = new.sequence,
        hash = new.hash, may_be_negative = new.may_be_negative, recorded_at = $2::timestamptz
    FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[],
                $9::boolean[])
      AS new (warehouse, product, on_hand, reserved, sequence, hash, may_be_negative)
    WHERE l.tenant_id = $1 AND l.warehouse = new.warehouse AND l.product = new.product`,
};

/**
 * Writes the levels that a batch has moved. The caller holds their locks.
 * @param recordedAt RFC 3339
 */
export async function updateLevels(
  transaction: Transaction,
  tenant: string,
  recordedAt: string,
  levels: readonly LockedLevel[],
): Promise<void> {
  await transaction.query({
    ...statement,
    values: [
      tenant,
      recordedAt,
      textArray(levels.map((l) => l.warehouse)),
      textArray(levels.map((l) => l.product)),
      plainArray(levels.map((l) => l.onHand)),
      plainArray(levels.map((l) => l.reserved)),
      plainArray(levels.map((l) => l.sequence)),
      hexArray(levels.map((l) => l.hash)),
      plainArray(levels.map((l) => l.mayBeNegative)),
    ],
  });
}
