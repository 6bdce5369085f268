import { genesisHash, movementHash } from '../chain.ts';
import type { Movement } from '../outcomes.ts';
import type { Level } from '../stock.ts';

/** A movement with what its hash covers beyond itself. */
export interface ChainedMovement extends Movement {
  tenant: string;
  postingId: string;
  /** Milliseconds since the epoch. */
  recordedAt: number;
}

export interface ChainFault {
  /** Where in the chain, counted from 0; the chain's length if its end does not meet the level. */
  index: number;
  problem: 'level' | 'sequence' | 'quantities' | 'hash';
}

/**
 * Checks the whole history of one level.
 *
 * @param movements all of them, in order
 * @param level if given, the chain must also end where the level stands; without it a missing
 *   tail is not seen
 * @returns the first fault, or undefined if the chain holds
 */
export function verifyChain(
  movements: readonly ChainedMovement[],
  level?: Omit<Level, 'recordedAt'>,
): ChainFault | undefined {
  let onHand = 0;
  let reserved = 0;
  let previous = genesisHash;
  const first = movements[0];
  for (const [index, movement] of movements.entries()) {
    onHand += movement.onHandChange;
    reserved += movement.reservedChange;
    if (!sameLevel(movement, first)) return { index, problem: 'level' };
    if (movement.sequence !== index + 1) return { index, problem: 'sequence' };
    if (movement.onHand !== onHand || movement.reserved !== reserved) {
      return { index, problem: 'quantities' };
    }
    const { tenant, postingId, recordedAt } = movement;
    const expected = movementHash(previous, tenant, postingId, recordedAt, movement);
    if (movement.hash !== expected) return { index, problem: 'hash' };
    previous = expected;
  }
  return level && endFault(movements, level);
}

function sameLevel(movement: ChainedMovement, first: ChainedMovement | undefined): boolean {
  return (
    movement.tenant === first?.tenant &&
    movement.warehouse === first.warehouse &&
    movement.product === first.product
  );
}

function endFault(
  movements: readonly ChainedMovement[],
  level: Omit<Level, 'recordedAt'>,
): ChainFault | undefined {
  const index = movements.length;
  const last = movements.at(-1) ?? {
    ...level,
    sequence: 0,
    hash: genesisHash,
    onHand: 0,
    reserved: 0,
  };
  if (last.warehouse !== level.warehouse || last.product !== level.product) {
    return { index, problem: 'level' };
  }
  if (last.sequence !== level.sequence) return { index, problem: 'sequence' };
  if (last.onHand !== level.onHand || last.reserved !== level.reserved) {
    return { index, problem: 'quantities' };
  }
  return last.hash === level.hash ? undefined : { index, problem: 'hash' };
}
