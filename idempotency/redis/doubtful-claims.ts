import type { Claim } from '../claims/claim-store.ts';
import { keyId } from '../key-id.ts';

/** Most claims remembered; the oldest, soon lapsed, are left to their lease. */
const claimsMax = 10_000;

interface Entry {
  claim: Claim;
  /** When its lease has ended, in milliseconds of the clock, unless Redis ran it late. */
  until: number;
}

/**
 * Claims that were sent and not answered: Redis may hold them under a token that nobody uses.
 *
 * One leaves when its key is claimed again, completed or released, or its lease is over; those of a
 * longer lease keep the ones behind them as long.
 */
export class DoubtfulClaims {
  private readonly entries = new Map<string, Entry>();
  private readonly clock: () => number;

  /** @param clock in milliseconds, never going back */
  constructor(clock: () => number = () => performance.now()) {
    this.clock = clock;
  }

  get size(): number {
    return this.entries.size;
  }

  add(claim: Claim, leaseMs: number): void {
    this.dropLapsed();
    const id = keyId(claim.scope, claim.key);
    // Deleted first: an entry that is set again would keep its old place.
    this.entries.delete(id);
    if (this.entries.size >= claimsMax) {
      this.entries.delete(this.entries.keys().next().value as string);
    }
    this.entries.set(id, { claim, until: this.clock() + leaseMs });
  }

  /** Forgets what is known of a key. @returns the claim that may still hold it */
  take(scope: string, key: string): Claim | undefined {
    this.dropLapsed();
    const id = keyId(scope, key);
    const entry = this.entries.get(id);
    this.entries.delete(id);
    return entry?.claim;
  }

  private dropLapsed(): void {
    const now = this.clock();
    for (const [id, entry] of this.entries) {
      if (entry.until > now) return;
      this.entries.delete(id);
    }
  }
}
