import { fencingToken, type Grant, turnsMax } from './grant.ts';
import { Patience } from './patience.ts';

/** A grant's turn handed to one waiter. */
export interface Pass {
  readonly grant: Grant;
  readonly token: bigint;
  /** Hands the grant to the next waiter of this process, or back to the server. */
  readonly done: () => Promise<void>;
}

/** Somebody of this process who waits at a turnstile. */
export interface Visitor {
  /** On the monotonic clock, ms. */
  readonly deadline: number;
  admit(pass: Pass): void;
  /** `error` undefined: the time was over. */
  refuse(error?: unknown): void;
  /** Called, maybe often, once it takes more than one round trip: time to watch the clock. */
  arm(): void;
}

/** What a turnstile needs of its surroundings. */
export interface TurnstileHost {
  /** Obtains the keys from the server, one new owner a call. */
  obtain(patience: Patience): Promise<Grant | undefined>;
  giveBack(grant: Grant): Promise<void>;
  /** Nobody waits any more and the server is not being asked. */
  idle(): void;
}

/**
 * Longest time a process keeps passing a grant on among its own, in ms and as a part of the lease.
 * Short, so that others are not kept waiting, and so that the last of the row still has 90 % of its
 * lease before it (5 % may be gone when the grant arrives).
 */
const rowMs = 50;
const rowRate = 0.05;

/**
 * The queue of this process for one set of keys.
 *
 * While anybody waits, one ticket stands in the server's queue for all of them. A grant serves
 * those who waited when it came, at most 64, one after the other and without asking the server;
 * then it goes back, and other processes have their turn before the next ticket's. A grant that
 * comes while a row is running ends it: the server gave its keys away, so it serves nobody more.
 */
export class Turnstile {
  readonly #host: TurnstileHost;
  readonly #visitors: Visitor[] = [];
  #asking: Patience | undefined;
  /** The latest, whose row may be running. */
  #grant: Grant | undefined;

  constructor(host: TurnstileHost) {
    this.#host = host;
  }

  enter(visitor: Visitor): void {
    this.#visitors.push(visitor);
    if (this.#asking) {
      this.#asking.prolong(visitor.deadline - performance.now());
      visitor.arm();
    } else {
      void this.#ask();
    }
  }

  /** Takes out a visitor that gave up. */
  leave(visitor: Visitor): void {
    const at = this.#visitors.indexOf(visitor);
    if (at >= 0) this.#visitors.splice(at, 1);
    if (this.#visitors.length === 0) this.#asking?.end();
  }

  async #ask(): Promise<void> {
    while (this.#visitors.length > 0) {
      const patience = new Patience(this.#latestDeadline() - performance.now());
      patience.onSleep = () => {
        for (const visitor of this.#visitors) visitor.arm();
      };
      this.#asking = patience;
      try {
        const grant = await this.#host.obtain(patience);
        if (grant) this.#serve(grant);
        else this.#refuseLate();
      } catch (error) {
        for (const visitor of this.#visitors.splice(0)) visitor.refuse(error);
      }
    }
    this.#asking = undefined;
    this.#host.idle();
  }

  /** A loop: more visitors may wait than a call has room for arguments. */
  #latestDeadline(): number {
    let latest = 0;
    for (const { deadline } of this.#visitors) latest = Math.max(latest, deadline);
    return latest;
  }

  #refuseLate(): void {
    const now = performance.now();
    const late = this.#visitors.filter((visitor) => visitor.deadline <= now);
    for (const visitor of late) {
      this.#visitors.splice(this.#visitors.indexOf(visitor), 1);
      visitor.refuse();
    }
  }

  #serve(grant: Grant): void {
    this.#grant = grant;
    const until = performance.now() + Math.min(rowMs, grant.claim.leaseMs * rowRate);
    const turns = Math.min(this.#visitors.length, turnsMax);
    this.#pass(grant, 0, turns, until);
  }

  #pass(grant: Grant, turn: number, turns: number, until: number): Promise<void> | undefined {
    const over = turn > 0 && performance.now() > until;
    const ended = turn >= turns || over || grant.lost || grant !== this.#grant;
    const visitor = ended ? undefined : this.#visitors.shift();
    if (!visitor) return this.#host.giveBack(grant);
    const token = fencingToken(grant, turn);
    const done = async () => this.#pass(grant, turn + 1, turns, until);
    visitor.admit({ grant, token, done });
    if (this.#visitors.length === 0) this.#asking?.end();
    return undefined;
  }
}
