import { type Lease, type Locks, LockTimeout } from '@onhand/lock';
import type { Pair } from '../stock/stock.ts';
import type { PipelineObserver } from './batch.ts';
import { pairResource } from './lockResource.ts';

export interface PairLocksOptions {
  readonly locks: Locks;
  /** false while the lock's server is known not to answer: no batch then waits for it. */
  readonly isUsable: () => boolean;
  readonly leaseMs: number;
  readonly waitMs: number;
  readonly observer: PipelineObserver;
}

/**
 * Holds a batch's pairs in Redis, so that a hot pair queues there and not in the database. Without
 * it a batch is as correct and only waits elsewhere.
 *
 * Whoever held the pairs for all of a wait is likely to be dead, and its lease may last `leaseMs`.
 * So after one such wait the tenant's batches go on under row locks alone for that long, instead of
 * each paying the wait again.
 */
export class PairLocks {
  readonly #options: PairLocksOptions;
  /** By tenant, on the monotonic clock in ms. */
  readonly #passUntil = new Map<string, number>();

  constructor(options: PairLocksOptions) {
    this.#options = options;
  }

  /**
   * Waits `waitMs` and twice the `commandTimeoutMs` of the locks at most, as {@link Locks.acquire}
   * does.
   * @returns undefined when the batch is to go on without; never rejects
   */
  async hold(tenant: string, pairs: readonly Pair[]): Promise<Lease | undefined> {
    const { locks, isUsable, leaseMs, waitMs, observer } = this.#options;
    if (pairs.length === 0 || !isUsable() || this.#isPassing(tenant)) return undefined;
    const began = performance.now();
    try {
      const lease = await locks.acquire(
        pairs.map(({ warehouse, product }) => pairResource(tenant, warehouse, product)),
        { leaseMs, waitMs },
      );
      observer.lockAcquired?.(performance.now() - began);
      return lease;
    } catch (error) {
      if (error instanceof LockTimeout) this.#passUntil.set(tenant, performance.now() + leaseMs);
      observer.lockMissed?.(error);
      return undefined;
    }
  }

  #isPassing(tenant: string): boolean {
    const until = this.#passUntil.get(tenant);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#passUntil.delete(tenant);
    return false;
  }
}
