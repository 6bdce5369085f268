import type { IdempotencyRecord } from './answer.ts';
import type { Claim, ClaimResult, ClaimStore } from './claims/claim-store.ts';
import { ClaimsUnavailable, KeyReused, RequestInFlight } from './errors.ts';

/**
 * Longest pause between looks at a claim held elsewhere. A push normally comes first; this bounds
 * what a lost push costs. Jittered, so that processes do not look at the same instant.
 */
const pollMsMax = 250;

export interface ElsewhereWait {
  claims: ClaimStore;
  records: { find(scope: string, key: string): Promise<IdempotencyRecord | undefined> } | undefined;
  leaseMs: number;
  waitMs: number;
  claim: Claim;
  first: ClaimResult & { state: 'in-flight' };
}

/**
 * Waits for a request that another process runs.
 *
 * Order: fingerprint, then the records at once (a crashed owner may have committed), then until
 * `waitMs` for a completion, a release, or the end of the lease, whichever lets us go on.
 * @returns undefined once this claim took over, else the record
 * @throws KeyReused, RequestInFlight, ClaimsUnavailable
 */
export async function waitElsewhere(wait: ElsewhereWait): Promise<IdempotencyRecord | undefined> {
  const { claims, claim, leaseMs } = wait;
  const deadline = performance.now() + wait.waitMs;
  let leaseLeftMs = wait.first.leaseMs;
  const found = await lookUp(wait, wait.first.fingerprint);
  if (found) return found;
  const bell = new Bell();
  const stop = await claims.watch(claim.scope, claim.key, () => bell.ring()).catch(() => undefined);
  try {
    for (;;) {
      // Claim first: whatever happened before the watch was active rang no bell.
      const held = await claims.claim(claim, leaseMs).catch((error: unknown) => {
        throw new ClaimsUnavailable(error);
      });
      if (held.state === 'claimed') return undefined;
      if (held.state === 'completed') return sameRequest(held.record, claim);
      if (held.fingerprint !== claim.fingerprint) throw new KeyReused();
      leaseLeftMs = held.leaseMs;
      const left = deadline - performance.now();
      if (left <= 0) break;
      const poll = pollMsMax * (0.5 + Math.random() / 2);
      await bell.wait(Math.min(left, poll, leaseLeftMs + 1));
    }
  } finally {
    stop?.();
  }
  const late = await lookUp(wait, claim.fingerprint);
  if (late) return late;
  throw new RequestInFlight(retryAfterSeconds(leaseLeftMs));
}

async function lookUp(
  wait: ElsewhereWait,
  heldFingerprint: string,
): Promise<IdempotencyRecord | undefined> {
  if (heldFingerprint !== wait.claim.fingerprint) throw new KeyReused();
  const record = await wait.records?.find(wait.claim.scope, wait.claim.key);
  return record && sameRequest(record, wait.claim);
}

function sameRequest(record: IdempotencyRecord, claim: Claim): IdempotencyRecord {
  if (record.fingerprint !== claim.fingerprint) throw new KeyReused();
  return record;
}

// The lease is the longest that a dead owner can hold; a living one is usually done within a second.
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
