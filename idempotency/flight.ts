import type { IdempotencyRecord } from './answer.ts';
import type { Claim } from './claims/claim-store.ts';

/** One execution in this process, and the duplicates that joined it. */
export class Flight {
  readonly claim: Claim;
  /** When the claim was last known to hold, in `performance.now()` milliseconds; 0 before it is. */
  heldSince = 0;
  private waiters: ((record: IdempotencyRecord | undefined) => void)[] | undefined;
  private controller: AbortController | undefined;
  private lost = false;

  constructor(claim: Claim) {
    this.claim = claim;
  }

  /** Aborts when the claim was lost: another owner may be running this request by now. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.lost) this.controller.abort();
    return this.controller.signal;
  }

  lose(): void {
    this.lost = true;
    this.controller?.abort();
  }

  /**
   * Waits for this execution.
   *
   * @returns the record, or undefined when it ended without one
   * @throws whatever `late` makes, after `waitMs`
   */
  join(waitMs: number, late: () => Error): Promise<IdempotencyRecord | undefined> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(late()), Math.max(0, waitMs));
      this.waiters ??= [];
      this.waiters.push((record) => {
        clearTimeout(timer);
        resolve(record);
      });
    });
  }

  /** Ends the flight and answers those who joined. */
  land(record: IdempotencyRecord | undefined): void {
    const waiters = this.waiters;
    this.waiters = undefined;
    if (waiters) for (const answer of waiters) answer(record);
  }
}
