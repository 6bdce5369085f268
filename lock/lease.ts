import { describeKeys, LockLost } from './errors.ts';
import type { Grant } from './grant.ts';
import { type LockHooks, notify } from './hooks.ts';
import type { Session } from './session.ts';

/** @internal What a lease is made of. */
export interface LeaseParts {
  readonly session: Session;
  readonly hooks: LockHooks;
  readonly keys: readonly string[];
  readonly token: bigint;
  /** One, or in a Redis Cluster one a slot. */
  readonly grants: readonly Grant[];
  readonly done: () => Promise<unknown>;
}

/**
 * Keys held for a limited time.
 *
 * A lease is a promise of the lock server, not of this process: a process that sleeps past the end
 * holds nothing. Call {@link assertHeld} before each effect, and let the store that takes the
 * effect compare {@link fencingToken}.
 */
export class Lease implements AsyncDisposable {
  /** The keys held, sorted and unique, without the prefix. */
  readonly keys: readonly string[];
  /** Rises with every grant of these keys, across processes; fits a PostgreSQL `bigint`. */
  readonly fencingToken: bigint;
  readonly #parts: LeaseParts;
  readonly #since = performance.now();
  #released: Promise<void> | undefined;
  #lost: LockLost | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @internal */
  constructor(parts: LeaseParts) {
    this.keys = parts.keys;
    this.fencingToken = parts.token;
    this.#parts = parts;
  }

  /** How long the lease is certain to last, in ms; 0 once it is released, over or lost. */
  remainingMs(): number {
    if (this.#released || this.#lost) return 0;
    return Math.max(0, this.#validUntil() - performance.now());
  }

  /** `released` when it was given back in time, `lost` when it ended before. */
  get state(): 'held' | 'released' | 'lost' {
    if (this.#lost) return 'lost';
    if (this.#released) return 'released';
    return this.remainingMs() > 0 ? 'held' : 'lost';
  }

  /** @throws LockLost unless the lease is held at this instant */
  assertHeld(): void {
    if (this.remainingMs() > 0) return;
    if (this.#released && !this.#lost) throw this.#error('was released');
    this.#lose('ran out before it was released');
    throw this.#lost;
  }

  /** Aborts, with a {@link LockLost} as reason, when the lease ends before it is released. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#lost) this.#controller.abort(this.#lost);
      else this.#watch();
    }
    return this.#controller.signal;
  }

  /**
   * Starts the lease anew, with its full length from now. One round trip.
   * @throws LockLost it was over already, or somebody took the keys away
   * @throws LockUnavailable the server did not answer: the lease goes on as it was, so try again
   *   while {@link remainingMs} lasts
   */
  async extend(): Promise<void> {
    this.assertHeld();
    const { session, grants, hooks } = this.#parts;
    const extended = await Promise.all(grants.map((grant) => session.extend(grant)));
    // It may have been released meanwhile, and that reached the server first.
    if (this.#released) this.assertHeld();
    if (extended.includes(false)) {
      this.#lose('was taken away, or the server lost it');
    } else {
      notify(hooks.extended, this.#event());
    }
    this.assertHeld();
  }

  /**
   * Gives the keys back. Never rejects, so it may be left without `await`; the server being out of
   * reach only means that the keys free themselves when the lease is over. Later calls do nothing.
   */
  release(): Promise<void> {
    if (!this.#released) {
      if (this.remainingMs() === 0) this.#lose('ran out before it was released');
      clearTimeout(this.#timer);
      const { hooks, done } = this.#parts;
      this.#released = done().then(
        () => {},
        () => {},
      );
      if (!this.#lost && hooks.released) {
        const heldMs = performance.now() - this.#since;
        notify(hooks.released, { ...this.#event(), heldMs });
      }
    }
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #validUntil(): number {
    const { grants } = this.#parts;
    let until = Number.POSITIVE_INFINITY;
    for (const grant of grants) until = Math.min(until, grant.lost ? 0 : grant.validUntil);
    return until;
  }

  #watch(): void {
    if (this.#released) return;
    const left = this.remainingMs();
    if (left === 0) {
      this.#lose('ran out before it was released');
    } else {
      // Timers may fire a millisecond early, and the lease may have been extended meanwhile.
      this.#timer = setTimeout(() => this.#watch(), Math.ceil(left));
      this.#timer.unref();
    }
  }

  #lose(fate: string): void {
    if (this.#lost) return;
    this.#lost = this.#error(fate);
    // The keys may be somebody else's by now, so they must not be handed on in this process.
    for (const grant of this.#parts.grants) grant.lost = true;
    clearTimeout(this.#timer);
    this.#controller?.abort(this.#lost);
    const heldMs = performance.now() - this.#since;
    notify(this.#parts.hooks.lost, { ...this.#event(), heldMs, error: this.#lost });
  }

  #event() {
    const mode = this.#parts.grants[0]?.claim.mode ?? 'exclusive';
    return { keys: this.keys, mode };
  }

  #error(fate: string): LockLost {
    return new LockLost(`the lease on ${describeKeys(this.keys)} ${fate}`, this.keys);
  }
}
