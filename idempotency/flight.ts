import type { IdempotencyRecord } from './answer.ts';
import type { Claim, ClaimResult, ClaimStore } from './claims/claim-store.ts';

/** One execution in this process, and the duplicates that joined it. */
export class Flight {
  readonly claim: Claim;
  /**
   * From when the lease counts at the latest, in `performance.now()` milliseconds; 0 without claim.
   */
  heldSince = 0;
  private askedAt = 0;
  private waiters: Set<(record: IdempotencyRecord | undefined) => void> | undefined;
  private controller: AbortController | undefined;
  private lost = false;
  private landed = false;
  private record: IdempotencyRecord | undefined;

  constructor(claim: Claim) {
    this.claim = claim;
  }

  /** Whether the claim was granted and not lost since. */
  get holds(): boolean {
    return this.heldSince > 0 && !this.lost;
  }

  /** Aborts when the claim was lost: another owner may be running this request by now. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.lost) this.controller.abort();
    return this.controller.signal;
  }

  /** How many duplicates wait for this execution. */
  get waiting(): number {
    return this.waiters?.size ?? 0;
  }

  /** Asks for the claim; {@link hold} once it was granted. */
  ask(claims: ClaimStore, leaseMs: number): Promise<ClaimResult> {
    // Before the question: a store that answers late granted the lease long ago.
    this.askedAt = performance.now();
    return claims.claim(this.claim, leaseMs);
  }

  hold(): void {
    this.heldSince = this.askedAt;
  }

  lose(): void {
    this.lost = true;
    this.controller?.abort();
  }

  /**
   * Waits for this execution; at once when it has ended.
   *
   * @returns the record, or undefined when it ended without one
   * @throws whatever `late` makes, after `waitMs`
   */
  join(waitMs: number, late: () => Error): Promise<IdempotencyRecord | undefined> {
    if (this.landed) return Promise.resolve(this.record);
    return new Promise((resolve, reject) => {
      this.waiters ??= new Set();
      const { waiters } = this;
      const answer = (record: IdempotencyRecord | undefined) => {
        clearTimeout(timer);
        resolve(record);
      };
      // Who stopped waiting must not be kept until a slow execution ends.
      const timer = setTimeout(
        () => {
          waiters.delete(answer);
          reject(late());
        },
        Math.max(0, waitMs),
      );
      waiters.add(answer);
    });
  }

  /** Ends the flight and answers those who joined. */
  land(record: IdempotencyRecord | undefined): void {
    this.landed = true;
    this.record = record;
    const { waiters } = this;
    this.waiters = undefined;
    if (waiters) for (const answer of waiters) answer(record);
  }
}
