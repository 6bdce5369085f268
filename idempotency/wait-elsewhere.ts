import type { IdempotencyRecord } from './answer.ts';
import type { ClaimResult, ClaimStore } from './claims/claim-store.ts';
import { committedRecord, type Records, sameRequest } from './committed.ts';
import { ClaimsUnavailable, KeyReused, RequestInFlight } from './errors.ts';
import type { Flight } from './flight.ts';

/**
 * Longest pause between looks at a claim held elsewhere and for its record. A push normally comes
 * first; this bounds what a lost push costs. Jittered, so that processes do not look at the same
 * instant.
 */
const pollMsMax = 250;

export interface ElsewhereWait {
  claims: ClaimStore;
  records: Records | undefined;
  leaseMs: number;
  /** When the waiting ends, in `performance.now()` milliseconds. */
  deadline: number;
  flight: Flight;
  first: ClaimResult & { state: 'in-flight' };
}

/**
 * Waits for a request that another process runs.
 *
 * Order: the records at once (what is committed keeps its claim until the lease ends), then the
 * fingerprint of what is in flight, then until `deadline` for a record, a completion, a release, or
 * the end of the lease, whichever lets us go on. All are looked at once more also when the deadline
 * has passed already.
 * @returns undefined once the flight's claim took over, else the record
 * @throws KeyReused, RequestInFlight, ClaimsUnavailable
 */
export async function waitElsewhere(wait: ElsewhereWait): Promise<IdempotencyRecord | undefined> {
  const { claims, flight, leaseMs, deadline } = wait;
  const { claim } = flight;
  const found = await boundedLookUp(wait, wait.first.fingerprint);
  if (found) return found;
  const bell = new Bell();
  const stop = await claims.watch(claim.scope, claim.key, () => bell.ring()).catch(() => undefined);
  try {
    for (;;) {
      // Claim first: whatever happened before the watch was active rang no bell.
      const held = await flight.ask(claims, leaseMs).catch((error: unknown) => {
        throw new ClaimsUnavailable(error);
      });
      if (held.state === 'claimed') return undefined;
      if (held.state === 'completed') return sameRequest(held.record, claim);
      const record = await boundedLookUp(wait, held.fingerprint);
      if (record) return record;
      const left = deadline - performance.now();
      if (left <= 0) throw new RequestInFlight(retryAfterSeconds(held.leaseMs));
      const poll = pollMsMax * (0.5 + Math.random() / 2);
      await bell.wait(Math.min(left, poll, held.leaseMs + 1));
    }
  } finally {
    stop?.();
  }
}

/**
 * Looks until the deadline, for the time of a pause at least: who waits is told that the request is
 * in flight, also by a database that is slow. A look-up that fails before it says nothing about the
 * request, which may still be answered.
 */
async function boundedLookUp(
  wait: ElsewhereWait,
  heldFingerprint: string,
): Promise<IdempotencyRecord | undefined> {
  const left = wait.deadline - performance.now();
  const found = lookUp(wait, heldFingerprint).catch((error: unknown) => {
    if (left <= 0 || error instanceof KeyReused) throw error;
    return undefined;
  });
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => resolve(), Math.max(left, pollMsMax));
  try {
    return (await Promise.race([found, late])) ?? undefined;
  } finally {
    clearTimeout(timer);
  }
}

async function lookUp(
  { records, flight: { claim } }: ElsewhereWait,
  heldFingerprint: string,
): Promise<IdempotencyRecord | undefined> {
  if (heldFingerprint !== claim.fingerprint) return committedRecord(records, claim);
  const record = await records?.find(claim.scope, claim.key);
  return record && sameRequest(record, claim);
}

// The lease is the longest that a dead owner can hold; a living one is usually done within a
// second.
function retryAfterSeconds(leaseMs: number): number {
  return Math.max(1, Math.min(5, Math.ceil(leaseMs / 1000)));
}

/** A wait that a ring ends early; a ring between waits is remembered. */
class Bell {
  private rung = false;
  private answer: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.answer?.();
  }

  async wait(ms: number): Promise<void> {
    if (!this.rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.answer = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.rung = false;
    this.answer = undefined;
  }
}
