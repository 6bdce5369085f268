import { setTimeout } from 'node:timers/promises';
import type { IdempotencyRecord } from './answer.ts';
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
    const failure = await attempt(flight, record, memory).catch((error: unknown) => ({ error }));
    if (!failure) return;
    if ('taken' in failure) throw new Error('The claim was lost before its answer was kept.');
    if (performance.now() + pauseMs >= until) throw failure.error;
    await setTimeout(pauseMs);
  }
}

/** @returns undefined once kept, `taken` when another request has the key */
async function attempt(
  flight: Flight,
  record: IdempotencyRecord,
  { claims, leaseMs, ttlMs }: OnlyMemory,
): Promise<{ taken: true } | undefined> {
  if (await claims.complete(flight.claim, record, ttlMs)) return undefined;
  const held = await flight.ask(claims, leaseMs);
  if (held.state === 'claimed') {
    if (await claims.complete(flight.claim, record, ttlMs)) return undefined;
    throw new Error('The claim store lost a claim that it had just granted.');
  }
  // An earlier try may have succeeded and its reply been lost.
  const ours = held.state === 'completed' && sameRecord(held.record, record);
  return ours ? undefined : { taken: true };
}

function sameRecord(one: IdempotencyRecord, two: IdempotencyRecord): boolean {
  return (
    one.fingerprint === two.fingerprint &&
    one.answer.status === two.answer.status &&
    one.answer.body.equals(two.answer.body)
  );
}
