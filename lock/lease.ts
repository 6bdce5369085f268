import { describeKeys, LockLost } from './errors.ts';

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
  readonly #giveBack: () => Promise<void>;
  /** On the monotonic clock, ms. */
  #validUntil: number;
  #released: Promise<void> | undefined;
  #lost: LockLost | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @internal */
  constructor(
    keys: readonly string[],
    token: bigint,
    validUntil: number,
    giveBack: () => Promise<void>,
  ) {
    this.keys = keys;
    this.fencingToken = token;
    this.#validUntil = validUntil;
    this.#giveBack = giveBack;
  }

  /** How long the lease is certain to last, in ms; 0 once it is released, over or lost. */
  remainingMs(): number {
    if (this.#released || this.#lost) return 0;
    return Math.max(0, this.#validUntil - performance.now());
  }

  /** @throws LockLost unless the lease is held at this instant */
  assertHeld(): void {
    if (this.#lost) throw this.#lost;
    if (this.remainingMs() === 0) throw new LockLost(this.#describe('is over'), this.keys);
  }

  /** Aborts, with a {@link LockLost} as reason, when the lease ends before it is released. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#lost) this.#controller.abort(this.#lost);
      else if (!this.#released) this.#watch();
    }
    return this.#controller.signal;
  }

  /**
   * Gives the keys back. Never rejects, so it may be left without `await`; the server being out of
   * reach only means that the keys free themselves when the lease is over. Later calls do nothing.
   */
  release(): Promise<void> {
    if (!this.#released) {
      clearTimeout(this.#timer);
      this.#released = this.#giveBack();
    }
    return this.#released;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  #watch(): void {
    const left = this.#validUntil - performance.now();
    // Timers may fire a millisecond early.
    if (left <= 0) {
      this.#lose();
    } else {
      this.#timer = setTimeout(() => this.#watch(), Math.ceil(left));
      this.#timer.unref();
    }
  }

  #lose(): void {
    this.#lost = new LockLost(this.#describe('ended before it was released'), this.keys);
    this.#controller?.abort(this.#lost);
  }

  #describe(fate: string): string {
    return `the lease on ${describeKeys(this.keys)} ${fate}`;
  }
}
