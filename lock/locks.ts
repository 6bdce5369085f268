import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { aborted, type Obtained, obtainGroups, obtainLocally, timedOut } from './acquisition.ts';
import type { KeyState } from './driver.ts';
import { LockLost } from './errors.ts';
import { fencingToken } from './grant.ts';
import { type LockHooks, notify } from './hooks.ts';
import { checkPrefix, normaliseKeys } from './keys.ts';
import { Lease } from './lease.ts';
import {
  type AcquireOptions,
  type LocksOptions,
  type UsingOptions,
  type Wanted,
  wanted,
} from './options.ts';
import { nameOf } from './owner.ts';
import { keepExtending } from './renewal.ts';
import { Session } from './session.ts';
import { Turnstile } from './turnstile.ts';

/** Distributed locks over one server and prefix. */
export interface Locks extends AsyncDisposable {
  /**
   * Takes all of the keys, or none. Free keys cost one round trip.
   *
   * Those who wait are served in the order of their arrival, across processes. Lasts at most
   * `waitMs` + 2 × `commandTimeoutMs` (in a Redis Cluster, per slot of the keys).
   * @param keys 1 to 4,000; duplicates count once. All that the work needs: taking more while
   *   holding some can end in a deadlock, until a `waitMs` is over
   * @throws LockTimeout others held a key for all of `waitMs`
   * @throws LockUnavailable the server did not answer, or refused
   * @throws LockLost the grant took so long to arrive that it was over
   * @throws LockAborted `signal` fired, or the locks were closed
   * @throws TypeError, RangeError on a key or setting out of its bounds
   */
  acquire(keys: readonly string[], options?: AcquireOptions): Promise<Lease>;
  /**
   * Runs a routine under a lock and extends its lease until the routine settles.
   *
   * The routine is never cut off: `lease.signal` tells it that the lease is lost, and its outcome
   * is awaited in any case. A failing release changes nothing about the outcome.
   * @returns what the routine returned
   * @throws LockLost the lease ended before the routine did; `cause` is what the routine threw,
   *   `result` what it returned
   * @throws whatever {@link acquire} or the routine throws
   */
  using<T>(
    keys: readonly string[],
    options: UsingOptions,
    routine: (lease: Lease) => Promise<T> | T,
  ): Promise<T>;
  /** Who holds a key and who awaits it. One round trip. @throws LockUnavailable */
  inspect(key: string): Promise<KeyState>;
  /**
   * The held keys that start with `start`, sorted. Reads all of the server's key names in steps:
   * for operators, not for requests. @throws LockUnavailable
   */
  list(start?: string): Promise<KeyState[]>;
  /**
   * Takes a key away from its holders, who learn of it at their next extension and are stopped by
   * the fencing token until then. @returns who held it @throws LockUnavailable
   */
  forceRelease(key: string, options: { readonly reason: string }): Promise<KeyState>;
  /** Ends all waiting and the connection used for being woken. Leases stay as they are. */
  close(): Promise<void>;
}

/** Sets of keys up to this size are queued within the process first; see {@link Turnstile}. */
const localKeysMax = 16;

/** Makes locks over one server. Make one per process and prefix, and share it. */
export function createLocks(options: LocksOptions): Locks {
  return new SessionLocks(options);
}

class SessionLocks implements Locks {
  readonly #session: Session;
  readonly #hooks: LockHooks;
  readonly #turnstiles = new Map<string, Turnstile>();

  constructor(options: LocksOptions) {
    const { driver, prefix = 'lock', commandTimeoutMs = 1_000, hooks = {} } = options;
    if (!(commandTimeoutMs >= 1 && commandTimeoutMs <= 60_000)) {
      throw new RangeError(`commandTimeoutMs must be from 1 to 60000, not ${commandTimeoutMs}`);
    }
    const name = (options.name ?? `${hostname()}:${process.pid}`).replace(/[^\x21-\x7e]/g, '-');
    const client = `${name}:${randomBytes(9).toString('base64url')}`;
    this.#session = new Session({ driver, prefix: checkPrefix(prefix), client, commandTimeoutMs });
    this.#hooks = hooks;
  }

  async acquire(keys: readonly string[], options: AcquireOptions = {}): Promise<Lease> {
    const names = normaliseKeys(keys);
    const settings = wanted(options);
    const startedAt = performance.now();
    try {
      const obtained = await this.#obtain(names, settings);
      const lease = this.#lease(names, obtained);
      const waitedMs = performance.now() - startedAt;
      const { mode } = settings;
      const { fencingToken } = lease;
      notify(this.#hooks.acquired, { keys: names, mode, waitedMs, fencingToken });
      return lease;
    } catch (error) {
      const waitedMs = performance.now() - startedAt;
      notify(this.#hooks.refused, { keys: names, mode: settings.mode, waitedMs, error });
      throw error;
    }
  }

  async using<T>(
    keys: readonly string[],
    options: UsingOptions,
    routine: (lease: Lease) => Promise<T> | T,
  ): Promise<T> {
    const { holdMaxMs = 300_000 } = options;
    if (!(holdMaxMs >= 0)) throw new RangeError(`holdMaxMs must be 0 or more, not ${holdMaxMs}`);
    const lease = await this.acquire(keys, options);
    const stop = keepExtending(lease, wanted(options).leaseMs, holdMaxMs);
    try {
      const outcome = await settle(routine, lease);
      if (lease.state === 'lost') throw lostWhile(lease, outcome);
      if ('error' in outcome) throw outcome.error;
      return outcome.result;
    } finally {
      stop();
      await lease.release();
    }
  }

  async inspect(key: string): Promise<KeyState> {
    const [state] = await this.#states([key]);
    if (!state) throw new TypeError('the driver answered nothing');
    return state;
  }

  async list(start = ''): Promise<KeyState[]> {
    const found = new Set<string>();
    const steps = this.#session.driver.list(start)[Symbol.asyncIterator]();
    for (;;) {
      const step = await this.#session.ask([], () => steps.next());
      if (step.done) break;
      for (const key of step.value) found.add(key);
    }
    const names = this.#session.names({ keys: [...found].sort() });
    const states: KeyState[] = [];
    for (let at = 0; at < names.length; at += 500) {
      states.push(...(await this.#states(names.slice(at, at + 500))));
    }
    return states.filter(({ mode }) => mode !== 'free');
  }

  async forceRelease(key: string, { reason }: { readonly reason: string }): Promise<KeyState> {
    if (!reason) throw new TypeError('taking a lock away needs a reason');
    const before = await this.inspect(key);
    const [full = ''] = this.#session.claim([key], 'exclusive', 0).keys;
    await this.#session.ask([full], () => this.#session.driver.forceRelease(full));
    notify(this.#hooks.forced, { keys: [key], reason, holders: before.holders });
    return before;
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #obtain(names: readonly string[], settings: Wanted): Promise<Obtained> {
    const { signal, mode, leaseMs, owner } = settings;
    if (signal?.aborted) throw aborted(names, signal);
    if (this.#queuesLocally(names, settings)) return this.#obtainLocally(names, settings);
    const claim = this.#session.claim(names, mode, leaseMs, owner);
    const groups = this.#session.driver.partition?.(claim.keys) ?? [claim.keys];
    const claims = groups.map((keys) => ({ ...claim, keys }));
    return obtainGroups(this.#session, claims, names, settings);
  }

  #queuesLocally(names: readonly string[], { mode, owner }: Wanted): boolean {
    if (mode === 'shared' || owner !== undefined || names.length > localKeysMax) return false;
    return names.length === 1 || this.#session.driver.partition === undefined;
  }

  /** Asks the server at once unless others of this process wait for the same keys already. */
  async #obtainLocally(names: readonly string[], settings: Wanted): Promise<Obtained> {
    const { leaseMs, waitMs, signal } = settings;
    const deadline = performance.now() + waitMs;
    const id = `${leaseMs} ${JSON.stringify(names)}`;
    // Who asks only once asks the server: behind others of this process it would never be served.
    if (waitMs === 0 || !this.#turnstiles.has(id)) {
      const session = this.#session;
      const grant = await session.tryOnce(session.claim(names, 'exclusive', leaseMs));
      if (grant) {
        const done = () => session.giveBack(grant.claim);
        if (!signal?.aborted) return { grants: [grant], token: fencingToken(grant, 0), done };
        void done();
      }
      if (signal?.aborted) throw aborted(names, signal);
      if (waitMs === 0) throw timedOut(names, waitMs);
    }
    return obtainLocally(this.#turnstile(id, names, leaseMs), names, settings, deadline);
  }

  /** This process's queue for these keys. */
  #turnstile(id: string, names: readonly string[], leaseMs: number): Turnstile {
    const known = this.#turnstiles.get(id);
    if (known) return known;
    const session = this.#session;
    const made = new Turnstile({
      obtain: (patience) => session.obtain(session.claim(names, 'exclusive', leaseMs), patience),
      giveBack: async ({ claim }) => void (await session.giveBack(claim)),
      idle: () => void this.#turnstiles.delete(id),
    });
    this.#turnstiles.set(id, made);
    return made;
  }

  #lease(keys: readonly string[], obtained: Obtained): Lease {
    return new Lease({ session: this.#session, hooks: this.#hooks, keys, ...obtained });
  }

  async #states(names: readonly string[]): Promise<KeyState[]> {
    const keys = names.map((name) => `${this.#session.prefix}:${name}`);
    const states = await this.#session.ask(keys, () => this.#session.driver.inspect(keys));
    const cut = this.#session.prefix.length + 1;
    return states.map((state) => ({
      ...state,
      key: state.key.slice(cut),
      holders: state.holders.map((holder) => ({ ...holder, owner: nameOf(holder.owner) })),
      waiters: state.waiters.map(nameOf),
    }));
  }
}

type Outcome<T> = { readonly result: T } | { readonly error: unknown };

async function settle<T>(
  routine: (lease: Lease) => Promise<T> | T,
  lease: Lease,
): Promise<Outcome<T>> {
  try {
    return { result: await routine(lease) };
  } catch (error) {
    return { error };
  }
}

function lostWhile(lease: Lease, outcome: Outcome<unknown>): LockLost {
  const message = 'the lease was over before the routine settled';
  return 'error' in outcome
    ? new LockLost(message, lease.keys, { cause: outcome.error })
    : new LockLost(message, lease.keys, { result: outcome.result });
}
