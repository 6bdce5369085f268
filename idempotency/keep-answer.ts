import { setTimeout } from 'node:timers/promises';
import { type IdempotencyRecord, sameRecord } from './answer.ts';
import type { ClaimStore } from './claims/claim-store.ts';
import type { Flight } from './flight.ts';

/** Pauses between tries, doubling: a lost connection is usually back within the first few. */
const [pauseMsMin, pauseMsMax] = [10, 250];

export interface OnlyMemory {
  claims: ClaimStore;
  leaseMs: number;
  /** How long the answer is to be kept, in milliseconds. */
  ttlMs: number;
}

/**
 * Puts an answer into the claim store when that is its only memory, before anyone is told of it.
 *
 * Tries until the lease that the run ended with is over: for `leaseMs` at most, and one call of the
 * store. A claim that lapsed and that nobody took is claimed again.
 * @throws the last failure of the store, or an error that says that another request took the claim
 */
export async function keepAnswer(
  flight: Flight,
  record: IdempotencyRecord,
  memory: OnlyMemory,
): Promise<void> {
  const until = flight.heldSince + memory.leaseMs;
  for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
    try {
      if (await memory.claims.complete(flight.claim, record, memory.ttlMs)) return;
      if (!(await isTaken(flight, record, memory))) return;
    } catch (error) {
      if (performance.now() + pauseMs >= until) throw error;
      await setTimeout(pauseMs);
      continue;
    }
    throw new Error('The claim was lost before its answer was kept.');
  }
}

/** @returns whether another request has the key; false once the answer is kept after all */
async function isTaken(
  flight: Flight,
  record: IdempotencyRecord,
  { claims, leaseMs, ttlMs }: OnlyMemory,
): Promise<boolean> {
  const held = await flight.ask(claims, leaseMs);
  if (held.state === 'claimed') {
    if (await claims.complete(flight.claim, record, ttlMs)) return false;
    throw new Error('The claim store lost a claim that it had just granted.');
  }
  // An earlier try may have succeeded and its reply been lost.
  return held.state !== 'completed' || !sameRecord(held.record, record);
}
