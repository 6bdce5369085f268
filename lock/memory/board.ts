import type { LockMode } from '../driver.ts';

/** A claim as the board sees it. */
export interface BoardClaim {
  readonly keys: readonly string[];
  readonly owner: string;
  readonly mode: LockMode;
  readonly leaseMs: number;
  readonly sending?: string | undefined;
}

/** One of the calls that wait for an owner. */
export interface Call {
  readonly client: string;
  readonly sending: string | undefined;
  /** It waits no more when it has not asked again by then, ms. */
  readonly aliveUntil: number;
}

/** A waiting owner. It leaves every queue with its last call. */
export interface Ticket extends Omit<BoardClaim, 'sending'> {
  readonly place: number;
  /** The last to ask last. */
  calls: readonly Call[];
}

/** Who holds a key: one owner with its token, or several that share it. */
export interface Holders {
  readonly mode: LockMode;
  /** Owner → end of its lease, ms. */
  readonly until: Map<string, number>;
  readonly token: number;
  /** Which of the calls of an exclusive owner took it. */
  readonly sending: string | undefined;
}

/** What the board must know of the world around it; in tests, a world of their making. */
export interface BoardWorld {
  /** The board's clock in ms; everything on the board is measured with it. */
  now(): number;
  /** A token not below this is given to the next grant. */
  clockToken(): number;
  /** Whether the client's process listens for grants. */
  reachable(client: string): boolean;
  /** Tells a waiting client that its claim was granted. */
  wake(client: string, owner: string, token: number): void;
}

/** Refused: ms until the lease in the way ends, 0 when only other waiters are in the way. */
export type BoardAttempt = { token: number } | { leftMs: number };

/**
 * The protocol of `redis/queue.lua` as a state machine without I/O.
 *
 * The in-memory driver runs on it, the model check explores it, and a test holds the Lua scripts to
 * the same answers.
 */
export class Board {
  readonly holders = new Map<string, Holders>();
  readonly tickets = new Map<string, Ticket>();
  /** Key → owners in the order of their places. */
  readonly queues = new Map<string, string[]>();
  readonly #world: BoardWorld;
  readonly #aliveMs: number;
  #token = 0;

  constructor(world: BoardWorld, aliveMs: number) {
    this.#world = world;
    this.#aliveMs = aliveMs;
  }

  /** Takes all keys or none; with a `client`, a refused owner waits in the queues. */
  acquire(claim: BoardClaim, client?: string): BoardAttempt {
    const left = this.#inTheWay(claim);
    if (left === undefined) {
      this.#quit(claim.owner, claim.sending);
      return { token: this.#grant(claim) };
    }
    if (client !== undefined) this.#enqueue(claim, client);
    if (left === 0) this.#sweep(claim.keys);
    return { leftMs: left };
  }

  /** Starts the lease anew if the owner holds every key. */
  extend({ keys, owner, mode, leaseMs }: BoardClaim): boolean {
    if (!keys.every((key) => this.#holds(key, owner, mode))) return false;
    const until = this.#world.now() + leaseMs;
    for (const key of keys) this.holders.get(key)?.until.set(owner, until);
    return true;
  }

  /**
   * Gives back what the owner holds, ends its waiting, and serves the next; with `sending`, only
   * what that one took or asked for. Returns how many.
   */
  release(
    { keys, owner, mode }: Omit<BoardClaim, 'leaseMs' | 'sending'>,
    sending?: string,
  ): number {
    const mine = keys.filter(
      (key) =>
        this.#holds(key, owner, mode) &&
        (sending === undefined || this.holders.get(key)?.sending === sending),
    );
    for (const key of mine) {
      const until = this.holders.get(key)?.until;
      until?.delete(owner);
      if (until?.size === 0) this.holders.delete(key);
    }
    if (sending === undefined) this.#leave(owner);
    else this.#quit(owner, sending);
    this.#sweep(keys);
    return mine.length;
  }

  /** Takes a key from whoever holds it. */
  forceRelease(key: string): boolean {
    const held = this.holdersOf(key) !== undefined;
    this.holders.delete(key);
    if (held) this.#sweep([key]);
    return held;
  }

  /** Those who hold the key now. */
  holdersOf(key: string): Holders | undefined {
    const held = this.holders.get(key);
    if (!held) return undefined;
    const now = this.#world.now();
    for (const [owner, until] of held.until) {
      if (until <= now) held.until.delete(owner);
    }
    if (held.until.size > 0) return held;
    this.holders.delete(key);
    return undefined;
  }

  #holds(key: string, owner: string, mode: LockMode): boolean {
    const held = this.holdersOf(key);
    return held?.mode === mode && held.until.has(owner);
  }

  /** Undefined when the claim may be granted now. */
  #inTheWay(claim: BoardClaim): number | undefined {
    for (const key of claim.keys) {
      const held = this.holdersOf(key);
      if (!held || (held.mode === 'shared' && claim.mode === 'shared')) continue;
      if (held.mode === claim.mode && held.until.has(claim.owner)) continue;
      return Math.max(1, Math.max(...held.until.values()) - this.#world.now());
    }
    const contested = claim.keys.filter((key) => !this.#holds(key, claim.owner, claim.mode));
    return contested.some((key) => this.#behind(key, claim)) ? 0 : undefined;
  }

  #behind(key: string, { owner, mode }: BoardClaim): boolean {
    for (const other of [...(this.queues.get(key) ?? [])]) {
      if (other === owner) return false;
      const ticket = this.#ticket(other);
      if (!ticket || (mode === 'shared' && ticket.mode === 'shared')) continue;
      if (this.#listener(ticket)) return true;
    }
    return false;
  }

  #ticket(owner: string): Ticket | undefined {
    const ticket = this.tickets.get(owner);
    if (!ticket) return undefined;
    ticket.calls = ticket.calls.filter(({ aliveUntil }) => aliveUntil >= this.#world.now());
    if (ticket.calls.length > 0) return ticket;
    this.#leave(owner);
    return undefined;
  }

  /** The call to tell of a grant: of those that listen, the last to ask. */
  #listener({ calls }: Ticket): Call | undefined {
    return calls.findLast(({ client }) => this.#world.reachable(client));
  }

  #enqueue(claim: BoardClaim, client: string): void {
    const now = this.#world.now();
    const { sending } = claim;
    const call = { client, sending, aliveUntil: now + this.#aliveMs };
    const known = this.tickets.get(claim.owner);
    if (known) {
      const others = known.calls.filter(
        (other) => other.sending !== sending && other.aliveUntil >= now,
      );
      known.calls = [...others, call];
      return;
    }
    this.tickets.set(claim.owner, { ...claim, calls: [call], place: this.#mint() });
    for (const key of claim.keys) {
      const queue = this.queues.get(key);
      if (queue) queue.push(claim.owner);
      else this.queues.set(key, [claim.owner]);
    }
  }

  /** Ends the waiting of one call of the owner. The place is kept for its other calls. */
  #quit(owner: string, sending: string | undefined): void {
    const ticket = this.#ticket(owner);
    if (!ticket) return;
    ticket.calls = ticket.calls.filter((call) => call.sending !== sending);
    if (ticket.calls.length === 0) this.#leave(owner);
  }

  #leave(owner: string): void {
    const ticket = this.tickets.get(owner);
    if (!ticket) return;
    this.tickets.delete(owner);
    for (const key of ticket.keys) {
      const rest = (this.queues.get(key) ?? []).filter((other) => other !== owner);
      if (rest.length > 0) this.queues.set(key, rest);
      else this.queues.delete(key);
    }
  }

  #grant({ keys, owner, mode, leaseMs, sending }: BoardClaim): number {
    const token = this.#mint();
    const end = this.#world.now() + leaseMs;
    for (const key of keys) {
      const until = mode === 'shared' ? this.holdersOf(key)?.until : undefined;
      const its = mode === 'exclusive' ? sending : undefined;
      this.holders.set(key, {
        mode,
        token,
        sending: its,
        until: (until ?? new Map()).set(owner, end),
      });
    }
    return token;
  }

  #mint(): number {
    this.#token = Math.max(this.#token + 1, this.#world.clockToken());
    return this.#token;
  }

  /**
   * Grants what became free to those next in line. Each waiter is looked at once. One whose owner
   * holds its keys already, by another call, finds that when it asks again.
   */
  #sweep(freed: readonly string[]): void {
    const seen = new Set<string>();
    for (const key of freed) {
      for (const owner of [...(this.queues.get(key) ?? [])]) {
        const ticket = this.#ticket(owner);
        const call = ticket && this.#listener(ticket);
        if (!ticket || !call) continue;
        const has = ticket.keys.every((its) => this.#holds(its, owner, ticket.mode));
        if (!seen.has(owner) && !has && this.#inTheWay(ticket) === undefined) {
          this.#quit(owner, call.sending);
          const token = this.#grant({ ...ticket, sending: call.sending });
          this.#world.wake(call.client, owner, token);
        }
        seen.add(owner);
        if (ticket.mode === 'exclusive') break;
      }
    }
  }
}
