import type { IdempotencyRecord } from '../answer.ts';

/** One attempt to execute one request. */
export interface Claim {
  scope: string;
  key: string;
  fingerprint: string;
  /** Unique per attempt, {@link ownerLength} characters; whoever holds it owns the claim. */
  owner: string;
}

export type ClaimResult =
  | { state: 'claimed' }
  /** Another owner runs it; its lease ends after `leaseMs` unless renewed. */
  | { state: 'in-flight'; fingerprint: string; leaseMs: number }
  | { state: 'completed'; record: IdempotencyRecord };

/**
 * Short-lived claims on keys, and where there are no records in a database the answers.
 *
 * A key is free, claimed (by one owner, until its lease ends) or completed (until its answer's time
 * to live ends). Every change compares the owner: an owner whose lease ended changes nothing.
 * A store may lose everything at any time; that costs speed, never correctness, where records are
 * kept in a database. Errors reject; a store never hangs.
 */
export interface ClaimStore {
  /** free → claimed. Claiming again with one's own token succeeds and renews the lease. */
  claim(claim: Claim, leaseMs: number): Promise<ClaimResult>;
  /** claimed by this owner → completed for `ttlMs`. @returns false when the claim was lost */
  complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean>;
  /**
   * Told of claims whose records are committed in a database: wakes who waits for one. It may leave
   * them to their leases, for whoever is told that one is in flight looks its record up. Absent:
   * {@link release} stands in.
   *
   * What one turn of the event loop brings comes in one call.
   */
  settle?(claims: readonly Claim[]): Promise<void>;
  /** claimed by this owner → free. @returns false when the claim was lost */
  release(claim: Claim): Promise<boolean>;
  /**
   * Extends leases to `leaseMs` from now.
   *
   * @returns per claim, false when it was lost, undefined when the store cannot tell now; rejects
   * when it can tell of none. What is unknown is held until its lease ends, unless it is renewed
   * before.
   */
  renew(claims: readonly Claim[], leaseMs: number): Promise<(boolean | undefined)[]>;
  /** Looks without claiming. */
  peek(scope: string, key: string): Promise<ClaimResult | undefined>;
  /**
   * Calls `wake` whenever the key may have been completed, released or settled. Best effort: a
   * caller polls as well. Resolves once listening; the function it resolves to stops it.
   */
  watch(scope: string, key: string, wake: () => void): Promise<() => void>;
  /**
   * Told once by a layer without records: the answers are remembered nowhere else. A store that
   * would drop some before their time to live ends, for want of space, refuses new claims from then
   * on instead, and one that finds an answer it cannot read refuses to claim its key. Absent: it
   * never drops any.
   */
  keepUntilExpiry?(): void;
  /** Rejects while the store cannot be used. */
  ping(): Promise<void>;
  /** Frees connections that the store opened itself. */
  close(): Promise<void>;
}

/** Characters of an owner token. */
export const ownerLength = 24;

/** Tells a store of claims whose records are committed, by `release` where it has no `settle`. */
export async function settleClaims(store: ClaimStore, claims: readonly Claim[]): Promise<void> {
  if (store.settle) await store.settle(claims);
  // Async, so that one that throws at once takes no other along.
  else await Promise.all(claims.map(async (claim) => store.release(claim)));
}
