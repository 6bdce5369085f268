/**
 * The hash chain of a level: each movement's hash covers the movement and the hash before it, so
 * no movement can be changed, dropped, inserted or reordered without every later hash failing.
 * PostgreSQL recomputes the same text in SQL for `verify`.
 */

import { hash } from 'node:crypto';
import type { Movement } from './outcomes.ts';

/** What the first movement of a level is chained to. */
export const genesisHash = '0'.repeat(64);

/**
 * SHA-256, as 64 hex digits, over the fields joined by `|`. No code contains `|`, so two different
 * movements never give the same text.
 */
export function movementHash(
  previous: string,
  tenant: string,
  postingId: string,
  recordedAt: number,
  movement: Omit<Movement, 'hash'>,
): string {
  const { warehouse, product, sequence, onHandChange, reservedChange, onHand, reserved } = movement;
  return hash(
    'sha256',
    `${previous}|${tenant}|${warehouse}|${product}|${sequence}|${postingId}|${onHandChange}` +
      `|${reservedChange}|${onHand}|${reserved}|${movement.unitCost ?? ''}|${recordedAt}`,
    'hex',
  );
}
