import type { DriverFactory, LockMode } from './driver.ts';
import type { LockHooks } from './hooks.ts';

/** Settings of `createLocks`. */
export interface LocksOptions {
  /** Where the locks live: `redisDriver(client)`, `postgresDriver(pool)` or `memoryDriver()`. */
  readonly driver: DriverFactory;
  /**
   * Stands before every key, with a colon between. 1 to 100 characters without white space, braces
   * or a tilde. Default `lock`.
   */
  readonly prefix?: string;
  /** How this process is called in `inspect`. Default host name and process id. */
  readonly name?: string;
  /**
   * Longest wait for one reply of the lock server, in ms, 1 to 60,000. Default 1,000: a healthy
   * server answers in a few, and a caller learns soon of one that does not answer at all.
   */
  readonly commandTimeoutMs?: number;
  /** For metrics and traces. */
  readonly hooks?: LockHooks;
}

/** Settings of one acquire. */
export interface AcquireOptions {
  /**
   * How long the keys stay held without a sign of life, in ms, 20 to 86,400,000 (a day). Default
   * 10,000. Longer: a crash blocks the keys longer. Shorter: a pause of the process loses them
   * sooner.
   */
  readonly leaseMs?: number;
  /** How long to wait for others, in ms, up to a day; 0 asks once. Default 5,000. */
  readonly waitMs?: number;
  /** Default `exclusive`. Waiting exclusive ones are not overtaken by later shared ones. */
  readonly mode?: LockMode;
  /** Ends the waiting. A lease that was granted already is not touched. */
  readonly signal?: AbortSignal;
  /**
   * Names the holder; 1 to 200 visible ASCII characters. Acquiring again with the same owner, keys
   * and mode succeeds and starts the lease anew: for a caller whose process was replaced, or whose
   * reply was lost. With other keys or mode it is another holder, which excludes and is excluded.
   * It must be as hard to guess as it is important. Default: a new one each time.
   */
  readonly owner?: string;
}

/** Settings of `using`. */
export interface UsingOptions extends AcquireOptions {
  /**
   * Longest time for which the lease is extended, in ms, 0 or more; it ends at most `leaseMs`
   * later. Default 300,000 (5 min): a routine that hangs must not hold its keys for ever.
   */
  readonly holdMaxMs?: number;
}

/** The same with every default filled in. */
export interface Wanted {
  readonly leaseMs: number;
  readonly waitMs: number;
  readonly mode: LockMode;
  readonly signal: AbortSignal | undefined;
  readonly owner: string | undefined;
}

const dayMs = 86_400_000;

/** @throws RangeError, TypeError on a setting out of its bounds */
export function wanted(options: AcquireOptions): Wanted {
  const { leaseMs = 10_000, waitMs = 5_000, mode = 'exclusive', signal, owner } = options;
  if (!Number.isInteger(leaseMs) || leaseMs < 20 || leaseMs > dayMs) {
    throw new RangeError(`leaseMs must be a whole number from 20 to ${dayMs}, not ${leaseMs}`);
  }
  if (!(waitMs >= 0 && waitMs <= dayMs)) {
    throw new RangeError(`waitMs must be from 0 to ${dayMs}, not ${waitMs}`);
  }
  if (mode !== 'exclusive' && mode !== 'shared') {
    throw new TypeError(`mode must be exclusive or shared, not ${mode}`);
  }
  if (owner !== undefined && !/^[\x21-\x7e]{1,200}$/.test(owner)) {
    throw new TypeError('owner must be 1 to 200 visible ASCII characters');
  }
  return { leaseMs, waitMs, mode, signal, owner };
}
