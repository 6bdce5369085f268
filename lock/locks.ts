import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { bounded } from './bounded.ts';
import type { Attempt, Claim, LockDriver } from './driver.ts';
import {
  describeKeys,
  LockAborted,
  type LockError,
  LockLost,
  LockTimeout,
  LockUnavailable,
} from './errors.ts';
import { normaliseKeys } from './keys.ts';
import { Lease } from './lease.ts';

/** Settings of {@link createLocks}. */
export interface LocksOptions {
  /** Where the locks live: `redisDriver(client)`, `memoryDriver()`, … */
  readonly driver: (prefix: string) => LockDriver;
  /** Stands before every key, with a colon between. Default `lock`. */
  readonly prefix?: string;
  /**
   * Longest wait for one reply of the lock server, in ms. Default 1,000: a healthy server answers
   * in a few, and a caller learns soon of one that does not answer at all.
   */
  readonly commandTimeoutMs?: number;
}

/** Settings of one acquire. */
export interface AcquireOptions {
  /** How long the keys stay held without a sign of life, in ms. Default 10,000. */
  readonly leaseMs?: number;
  /** How long to wait for others, in ms; 0 asks once. Default 5,000. */
  readonly waitMs?: number;
  /** Ends the waiting. A lease that was granted already is not touched. */
  readonly signal?: AbortSignal;
}

/** Distributed locks over one server and prefix. */
export interface Locks {
  /**
   * Takes all of the keys, or none. Free keys cost one round trip.
   *
   * Lasts at most `waitMs` + `commandTimeoutMs`.
   * @throws LockTimeout others held a key for all of `waitMs`
   * @throws LockUnavailable the server did not answer, or refused
   * @throws LockLost the grant took so long to arrive that it was over
   * @throws LockAborted `signal` fired
   */
  acquire(keys: readonly string[], options?: AcquireOptions): Promise<Lease>;
}

/** What clocks may drift apart during a lease, and what acting on a reply may take. */
const driftRate = 0.01;
const marginMs = 2;
/** Between two attempts. */
const pollMs = 50;

/** Makes locks over one server. Cheap; make one per process and prefix. */
export function createLocks(options: LocksOptions): Locks {
  return new DriverLocks(options);
}

class DriverLocks implements Locks {
  readonly #driver: LockDriver;
  readonly #prefix: string;
  readonly #commandTimeoutMs: number;
  readonly #name = `${hostname()}:${process.pid}:${randomBytes(9).toString('base64url')}`;
  #serial = 0;

  constructor({ driver, prefix = 'lock', commandTimeoutMs = 1_000 }: LocksOptions) {
    this.#prefix = prefix;
    this.#commandTimeoutMs = commandTimeoutMs;
    this.#driver = driver(prefix);
  }

  async acquire(keys: readonly string[], options: AcquireOptions = {}): Promise<Lease> {
    const { leaseMs = 10_000, waitMs = 5_000, signal } = options;
    const names = normaliseKeys(keys);
    const claim: Claim = {
      keys: names.map((key) => `${this.#prefix}:${key}`),
      owner: `${this.#name}.${(++this.#serial).toString(36)}`,
      mode: 'exclusive',
      leaseMs,
    };
    const deadline = performance.now() + waitMs;
    for (;;) {
      if (signal?.aborted) throw aborted(names, signal);
      const sentAt = performance.now();
      const attempt = await this.#attempt(names, claim);
      if (attempt.granted) {
        if (signal?.aborted) {
          void this.#giveBack(claim);
          throw aborted(names, signal);
        }
        return this.#lease(names, claim, attempt.token, sentAt);
      }
      const left = deadline - performance.now();
      if (left <= 0) {
        throw new LockTimeout(`${describeKeys(names)} not free within ${waitMs} ms`, names);
      }
      await pause(Math.min(left, attempt.retryMs + 1, pollMs * (0.5 + Math.random())), signal);
    }
  }

  async #attempt(names: readonly string[], claim: Claim): Promise<Attempt> {
    try {
      return await bounded(this.#driver.acquire(claim), this.#commandTimeoutMs, (late) => {
        if (late.granted) void this.#giveBack(claim);
      });
    } catch (error) {
      // The server may have done it and only the reply was lost.
      void this.#giveBack(claim);
      throw unavailable(names, error);
    }
  }

  #lease(names: readonly string[], claim: Claim, token: number, sentAt: number): Lease {
    const validUntil = sentAt + claim.leaseMs * (1 - driftRate) - marginMs;
    const giveBack = () => this.#giveBack(claim);
    if (validUntil <= performance.now()) {
      void giveBack();
      throw new LockLost(`the lease on ${describeKeys(names)} was over when granted`, names);
    }
    return new Lease(names, BigInt(token) * 64n, validUntil, giveBack);
  }

  async #giveBack(claim: Claim): Promise<void> {
    try {
      await bounded(this.#driver.release(claim), this.#commandTimeoutMs);
    } catch {
      // Out of reach: the keys free themselves when the lease is over.
    }
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}

function aborted(names: readonly string[], signal: AbortSignal): LockAborted {
  return new LockAborted(`waiting for ${describeKeys(names)} was aborted`, names, {
    cause: signal.reason,
  });
}

function unavailable(names: readonly string[], cause: unknown): LockError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new LockUnavailable(`the lock server did not answer: ${why}`, names, { cause });
}
