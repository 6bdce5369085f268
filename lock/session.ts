import { Breaker, Stalled } from './breaker.ts';
import type { Attempt, Claim, DriverFactory, LockDriver, LockMode } from './driver.ts';
import { describeKeys, LockAborted, type LockError, LockLost, LockUnavailable } from './errors.ts';
import { type Grant, validUntil } from './grant.ts';
import { ownerOf } from './owner.ts';
import type { Patience } from './patience.ts';

/**
 * A waiter that has not asked again for this long is passed over. The connections of a process that
 * was killed are closed, and it is passed over at once; this is for one that is cut off.
 */
export const aliveMs = 5_000;
/** A queued waiter asks again this often (± a quarter), in case its wake-up was lost. */
const safetyPollMs = 1_000;
/** A waiter that cannot be woken asks this often (± a half). */
const blindPollMs = 50;
/** A grant that is pushed within this part of the lease since it was asked for is believed. */
const freshRate = 0.05;

const firstRetryMs = 250;
const lastRetryMs = 8_000;
/** Give-backs that may wait for being tried again; beyond it the lease's end must do. */
const retriesMax = 1_000;

/** What a session is made of. */
export interface SessionOptions {
  readonly driver: DriverFactory;
  readonly prefix: string;
  /** Names this process to those who inspect a lock; unique, without spaces. */
  readonly client: string;
  readonly commandTimeoutMs: number;
}

/** A claim that waits. */
interface Ticket {
  readonly patience: Patience;
  /** The token of a grant that was pushed. */
  granted: number | undefined;
  /** It has, or had, a place in the server's queue. */
  queued: boolean;
}

/** One process's dealings with the lock server: every call bounded, every doubt given back. */
export class Session {
  readonly driver: LockDriver;
  readonly prefix: string;
  readonly #breaker: Breaker;
  readonly #client: string;
  /** By owner; one with a name may wait several times. */
  readonly #waiting = new Map<string, Set<Ticket>>();
  readonly #listening = new WeakSet<Promise<boolean>>();
  #serial = 0;
  #closed = false;
  /** Give-backs to be tried again. */
  #retries = 0;

  constructor({ driver, prefix, client, commandTimeoutMs }: SessionOptions) {
    this.prefix = prefix;
    this.#breaker = new Breaker(commandTimeoutMs);
    this.#client = client;
    this.driver = driver({
      prefix,
      client,
      aliveMs,
      onGrant: (owner, token) => this.#woken(owner, token),
    });
  }

  /** @param names sorted and unique, without the prefix */
  claim(names: readonly string[], mode: LockMode, leaseMs: number, owner?: string): Claim {
    const keys = names.map((name) => `${this.prefix}:${name}`);
    const unique = `${this.#client}.${++this.#serial}`;
    if (owner === undefined) return { keys, mode, leaseMs, owner: unique };
    return { keys, mode, leaseMs, owner: ownerOf(owner, mode, names), sending: unique };
  }

  /** The keys of a claim as the caller knows them. */
  names({ keys }: Pick<Claim, 'keys'>): readonly string[] {
    return keys.map((key) => key.slice(this.prefix.length + 1));
  }

  /**
   * Takes the keys if they are free. One round trip.
   * @throws LockUnavailable, LockLost, LockAborted
   */
  async tryOnce(claim: Claim): Promise<Grant | undefined> {
    if (this.#closed) throw this.#closedError(claim);
    const sentAt = performance.now();
    const attempt = await this.#attempt(claim, false);
    return attempt.granted ? this.#granted(claim, attempt.token, sentAt) : undefined;
  }

  /**
   * Takes the keys, waiting for its turn. Every attempt is bounded by `commandTimeoutMs`; there are
   * at least `blindPollMs` / 2 ms between two of them, unless something happened. What fails while
   * it waits leaves the queue, where the next grant would be to nobody.
   * @returns undefined when patience was over; nothing is held then
   * @throws LockUnavailable, LockLost, LockAborted
   */
  async obtain(claim: Claim, patience: Patience): Promise<Grant | undefined> {
    if (this.#closed) throw this.#closedError(claim);
    const askedAt = performance.now();
    const ticket: Ticket = { patience, granted: undefined, queued: false };
    this.#enter(claim.owner, ticket);
    try {
      let attempt = await this.#attempt(claim, patience.leftMs() > 0);
      if (attempt.granted) return this.#granted(claim, attempt.token, askedAt);
      for (;;) {
        ticket.queued ||= attempt.queued;
        if (ticket.granted === undefined && patience.leftMs() > 0) {
          if (!attempt.queued) this.#listen(claim);
          await patience.sleep(pauseMs(attempt));
        }
        if (this.#closed) throw this.#closedError(claim);
        const pushed = ticket.granted;
        // With one owner another call may have been meant, which asked for another lease.
        if (pushed !== undefined && claim.sending === undefined && isFresh(claim, askedAt)) {
          return this.#granted(claim, pushed, askedAt);
        }
        if (pushed === undefined && patience.leftMs() === 0) {
          if (ticket.queued) void this.giveBack(claim, true);
          return undefined;
        }
        ticket.granted = undefined;
        const sentAt = performance.now();
        attempt = await this.#attempt(claim, true);
        if (attempt.granted) return this.#granted(claim, attempt.token, sentAt);
      }
    } catch (error) {
      if (ticket.queued) void this.giveBack(claim, true);
      throw error;
    } finally {
      this.#leave(claim.owner, ticket);
    }
  }

  /**
   * Starts the grant's lease anew; afterwards the grant says whether it is lost.
   * @throws LockUnavailable the server did not answer; the lease goes on as it was
   */
  async extend(grant: Grant, tokenFloor?: number): Promise<boolean> {
    const sentAt = performance.now();
    const { claim } = grant;
    const extended = await this.ask(claim.keys, () => this.driver.extend(claim, tokenFloor));
    if (extended) grant.validUntil = validUntil(sentAt, claim.leaseMs);
    else grant.lost = true;
    return extended;
  }

  /**
   * Gives keys back and ends waiting for them. Never rejects; true if all of them were held.
   *
   * Where the server is out of reach it is tried again in the background, after 0.25, 0.5, 1, … 8
   * s, for as long as the lease may last; at the end of that the keys have freed themselves. What
   * the same owner claimed again meanwhile stays.
   * @param late the caller has been told of a failure, or is about to be
   */
  async giveBack(claim: Claim, late = false): Promise<boolean> {
    try {
      return await this.#breaker.call(() => this.driver.release(claim, late));
    } catch {
      this.#giveBackLater(claim, performance.now() + claim.leaseMs, firstRetryMs);
      return false;
    }
  }

  #giveBackLater(claim: Claim, until: number, afterMs: number): void {
    const now = performance.now();
    if (this.#closed || this.#retries >= retriesMax || now + afterMs > until) return;
    this.#retries++;
    setTimeout(() => {
      this.#retries--;
      const call = this.#breaker.call(() => this.driver.release(claim, true));
      call.catch(() => this.#giveBackLater(claim, until, Math.min(2 * afterMs, lastRetryMs)));
    }, afterMs).unref();
  }

  /** Ends all waiting, and then what the driver opened. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { patience } of this.#tickets()) patience.end();
    await this.driver.close();
  }

  /** @throws LockUnavailable */
  async ask<T>(keys: readonly string[], call: () => Promise<T>): Promise<T> {
    try {
      return await this.#breaker.call(call);
    } catch (error) {
      throw this.#unavailable({ keys }, error);
    }
  }

  /**
   * Those who poll ask again at once when grants can be heard of. It may never come to that, so
   * nothing is kept of each who waits for it.
   */
  #listen({ keys }: Claim): void {
    const listening = this.driver.listen?.(keys);
    if (!listening || this.#listening.has(listening)) return;
    this.#listening.add(listening);
    void listening.then((ready) => {
      if (!ready) return;
      for (const { queued, patience } of this.#tickets()) if (!queued) patience.wake();
    });
  }

  #enter(owner: string, ticket: Ticket): void {
    const others = this.#waiting.get(owner);
    if (others) others.add(ticket);
    else this.#waiting.set(owner, new Set([ticket]));
  }

  #leave(owner: string, ticket: Ticket): void {
    const tickets = this.#waiting.get(owner);
    tickets?.delete(ticket);
    if (tickets?.size === 0) this.#waiting.delete(owner);
  }

  *#tickets(): Iterable<Ticket> {
    for (const tickets of this.#waiting.values()) yield* tickets;
  }

  #woken(owner: string, token: number): void {
    // Of several the latest, as if it alone had asked; the others' polls find the grant.
    const ticket = [...(this.#waiting.get(owner) ?? [])].at(-1);
    if (!ticket) return;
    ticket.granted = token;
    ticket.patience.wake();
  }

  async #attempt(claim: Claim, wait: boolean): Promise<Attempt> {
    const giveBack = () => void this.giveBack(claim, true);
    try {
      return await this.#breaker.call(() => this.driver.acquire(claim, wait), giveBack);
    } catch (error) {
      // The server may have done it, and only the reply was lost.
      if (!(error instanceof Stalled)) giveBack();
      throw this.#unavailable(claim, error);
    }
  }

  #granted(claim: Claim, token: number, sentAt: number): Grant {
    const grant = { claim, token, validUntil: validUntil(sentAt, claim.leaseMs), lost: false };
    if (grant.validUntil > performance.now()) return grant;
    void this.giveBack(claim, true);
    const names = this.names(claim);
    throw new LockLost(`the lease on ${describeKeys(names)} was over when granted`, names);
  }

  #closedError(claim: Claim): LockAborted {
    return new LockAborted('the locks were closed', this.names(claim));
  }

  #unavailable(claim: Pick<Claim, 'keys'>, cause: unknown): LockError {
    const why = cause instanceof Error ? cause.message : String(cause);
    const names = this.names(claim);
    return new LockUnavailable(`the lock server failed: ${why}`, names, { cause });
  }
}

/**
 * Whether a grant pushed now must be one of the lease that began since `askedAt`. A push may be
 * late, its lease over and the keys granted anew: an older one is not believed, but asked for.
 */
function isFresh({ leaseMs }: Claim, askedAt: number): boolean {
  return performance.now() - askedAt < leaseMs * freshRate;
}

function pauseMs(attempt: Attempt): number {
  if (attempt.granted) return 0;
  const poll =
    attempt.pollMs ??
    (attempt.queued
      ? safetyPollMs * (0.75 + Math.random() / 2)
      : blindPollMs * (0.5 + Math.random()));
  // A lease that runs out is passed on by nobody: the first to ask again gets things going.
  return attempt.retryMs > 0 ? Math.min(poll, attempt.retryMs + 1 + Math.random() * 5) : poll;
}
