import type { LockMode } from '../driver.ts';
import type { Board, BoardClaim, BoardWorld } from '../memory/board.ts';

/** The class under check: the one of `memory/board.ts`, or one with a bug put in. */
export type BoardClass = new (world: BoardWorld, aliveMs: number) => Board;

/** What one client of a scenario wants, over and over. */
export interface Wish {
  readonly keys: readonly string[];
  readonly mode: LockMode;
  /** How many times it starts to acquire. */
  readonly rounds: number;
}

/** One thing that can happen. */
export type Step =
  | 'ask'
  | 'poll'
  | 'wake'
  | 'drop'
  | 'extend'
  | 'release'
  | 'cancel'
  | 'kill'
  | 'stop';

/** A step of one client; `tick` moves the clock to the next instant at which something ends. */
export type Action = 'tick' | { readonly step: Step; readonly client: number };

interface Client {
  phase: 'idle' | 'waiting' | 'holding' | 'gone';
  reachable: boolean;
  rounds: number;
  owner: string;
  /** When the current claim was first sent. */
  askedAt: number;
  lastAskedAt: number;
  /** How long it believes in its lease. */
  until: number;
  /** Grants pushed but not yet received. */
  inbox: { owner: string; token: number }[];
}

const leaseMs = 100;
const aliveMs = 50;

/** One history of clients and a board, on a clock of its own; throws when a property is broken. */
export class Scenario {
  readonly wishes: readonly Wish[];
  readonly clients: Client[];
  readonly board: Board;
  /** Nothing was lost and nobody failed so far: then waiters need not ask twice. */
  clean = true;
  #now = 0;
  #faults: number;
  readonly #lastToken = new Map<string, number>();
  readonly #places = new Map<string, number>();

  constructor(board: BoardClass, wishes: readonly Wish[], faults: number) {
    this.wishes = wishes;
    this.#faults = faults;
    this.clients = wishes.map(({ rounds }) => ({
      phase: 'idle',
      reachable: true,
      rounds,
      owner: '',
      askedAt: 0,
      lastAskedAt: 0,
      until: 0,
      inbox: [],
    }));
    this.board = new board(
      {
        now: () => this.#now,
        clockToken: () => 1,
        reachable: (name) => this.#client(Number(name)).reachable,
        wake: (name, owner, token) => this.#pushed(Number(name), owner, token),
      },
      aliveMs,
    );
  }

  /** Everything that can happen next. */
  actions(): Action[] {
    const all: Action[] = this.#nextInstant() === undefined ? [] : ['tick'];
    for (const [client, { phase, rounds, inbox }] of this.clients.entries()) {
      const add = (step: Step) => all.push({ step, client });
      if (phase === 'gone') continue;
      if (phase === 'idle' && rounds > 0) add('ask');
      if (phase === 'waiting') add('poll');
      if (phase === 'waiting') add('cancel');
      if (inbox.length > 0) add('wake');
      if (phase === 'holding') add('release');
      if (phase === 'holding') add('extend');
      if (this.#faults > 0 && inbox.length > 0) add('drop');
      if (this.#faults > 0 && phase !== 'idle') add('kill');
      if (this.#faults > 0 && phase !== 'idle') add('stop');
    }
    return all;
  }

  take(action: Action): void {
    if (action === 'tick') {
      this.#now = this.#nextInstant() ?? this.#now;
      // Something ended without anybody's doing, so nobody is woken by it.
      this.clean = false;
    } else {
      this.#step(action.step, action.client);
    }
    this.#checkExclusion();
  }

  /** What distinguishes this state from others: times from now, places by rank, no tokens. */
  fingerprint(): string {
    const { board } = this;
    const from = (time: number) => Math.max(0, time - this.#now);
    const tickets = [...board.tickets.values()].sort((a, b) => a.place - b.place);
    return JSON.stringify([
      this.#faults,
      this.clients.map((c) => [c.phase, c.reachable, c.rounds, from(c.until), c.inbox.length]),
      this.clients.map((c) => [this.#now - c.askedAt >= leaseMs / 20, board.tickets.has(c.owner)]),
      [...board.holders]
        .sort()
        .map(([key, { until, mode }]) => [
          key,
          mode,
          this.clients.map(({ owner }) => from(until.get(owner) ?? 0)),
        ]),
      tickets.flatMap(({ calls }) =>
        calls.map(({ client, aliveUntil }) => [client, from(aliveUntil + 1)]),
      ),
      [...board.queues].sort().map(([key, owners]) => [key, owners.length]),
    ]);
  }

  /**
   * Lets everybody go on fairly: holders release, waiters hear or, unless all was clean, ask again,
   * time passes. Throws unless every live waiter is served within a bounded number of rounds.
   */
  mustComeToRest(): void {
    for (let round = 0; round < 40; round++) {
      for (const [client, { phase, inbox }] of this.clients.entries()) {
        if (phase === 'gone') continue;
        if (inbox.length > 0) this.take({ step: 'wake', client });
        else if (phase === 'holding') this.take({ step: 'release', client });
        else if (phase === 'waiting' && !this.clean) this.take({ step: 'poll', client });
      }
      const busy = this.clients.some(({ phase }) => phase === 'waiting' || phase === 'holding');
      if (!busy && this.#nextInstant() === undefined) {
        this.#checkNothingLeft();
        return;
      }
      if (!this.clean || !busy) this.take('tick');
    }
    throw new Error('no progress: somebody waits for ever');
  }

  #step(step: Step, index: number): void {
    const client = this.#client(index);
    const { keys, mode } = this.#wish(index);
    const claim = (): BoardClaim => ({ keys, mode, owner: client.owner, leaseMs });
    if (step === 'ask') {
      client.rounds--;
      client.owner = `${index}.${client.rounds}`;
      client.askedAt = this.#now;
      this.#attempt(index, claim());
    } else if (step === 'poll') {
      this.#attempt(index, claim());
    } else if (step === 'wake') {
      this.#wake(index, claim());
    } else if (step === 'extend' && this.board.extend(claim())) {
      client.until = this.#now + leaseMs;
    } else if (step === 'release' || step === 'cancel' || step === 'extend') {
      // A holder whose extension is refused knows that its lease is lost, and gives up.
      client.phase = 'idle';
      client.until = 0;
      this.board.release(claim());
    } else {
      this.#fault(step, client);
    }
  }

  #attempt(index: number, claim: BoardClaim): void {
    const client = this.#client(index);
    client.phase = 'waiting';
    client.lastAskedAt = this.#now;
    const attempt = this.board.acquire(claim, `${index}`);
    if ('token' in attempt) {
      this.#checkOrder(index, claim.owner);
      this.#hold(index, attempt.token, this.#now);
    }
    const ticket = this.board.tickets.get(claim.owner);
    if (ticket) this.#places.set(claim.owner, ticket.place);
  }

  /** As `Session.obtain`: a grant that may be an old one is asked for again. */
  #wake(index: number, claim: BoardClaim): void {
    const client = this.#client(index);
    const push = client.inbox.shift();
    if (!push || push.owner !== client.owner || client.phase !== 'waiting') return;
    if (this.#now - client.askedAt < leaseMs / 20) this.#hold(index, push.token, client.askedAt);
    else this.#attempt(index, claim);
  }

  #fault(step: 'drop' | 'kill' | 'stop' | string, client: Client): void {
    this.#faults--;
    this.clean = false;
    if (step === 'drop') {
      client.inbox.shift();
    } else {
      client.phase = 'gone';
      client.until = 0;
      client.inbox = [];
      if (step === 'kill') client.reachable = false;
    }
  }

  #pushed(index: number, owner: string, token: number): void {
    const client = this.#client(index);
    if (client.phase !== 'gone') client.inbox.push({ owner, token });
    if (this.#now - client.lastAskedAt > aliveMs) throw new Error(`${owner} is dead and served`);
    this.#checkToken(index, token);
    this.#checkOrder(index, owner);
  }

  #hold(index: number, token: number, since: number): void {
    const client = this.#client(index);
    client.phase = 'holding';
    client.until = since + leaseMs;
    // Readers may hear of their grants in any order.
    if (this.#wish(index).mode === 'exclusive') this.#checkToken(index, token);
  }

  #checkToken(index: number, token: number): void {
    for (const key of this.#wish(index).keys) {
      const last = this.#lastToken.get(key) ?? 0;
      if (token < last) throw new Error(`token ${token} of ${key} is below ${last}`);
      this.#lastToken.set(key, token);
    }
  }

  /** Nobody who could be served stands before a waiter that is granted its keys. */
  #checkOrder(index: number, owner: string): void {
    const place = this.#places.get(owner) ?? Number.POSITIVE_INFINITY;
    const { keys, mode } = this.#wish(index);
    for (const ticket of this.board.tickets.values()) {
      const conflicts = ticket.mode === 'exclusive' || mode === 'exclusive';
      const common = ticket.keys.some((key) => keys.includes(key));
      const able = ticket.calls.some(
        ({ client, aliveUntil }) =>
          aliveUntil >= this.#now && this.#client(Number(client)).reachable,
      );
      if (ticket.owner === owner || !conflicts || !common || !able) continue;
      if (ticket.place < place) throw new Error(`${owner} passed ${ticket.owner}`);
    }
  }

  #checkExclusion(): void {
    const believing = this.clients.flatMap((client, index) =>
      client.phase === 'holding' && client.until > this.#now ? [this.#wish(index)] : [],
    );
    for (const [at, one] of believing.entries()) {
      for (const other of believing.slice(at + 1)) {
        const both = one.keys.filter((key) => other.keys.includes(key));
        if (both.length > 0 && (one.mode === 'exclusive' || other.mode === 'exclusive')) {
          throw new Error(`two holders of ${both.join()}`);
        }
      }
    }
  }

  #checkNothingLeft(): void {
    for (const { keys } of this.wishes) {
      for (const key of keys) this.board.holdersOf(key);
    }
    const { tickets, queues, holders } = this.board;
    if (holders.size > 0) throw new Error('a key stays held by nobody');
    // Those of the dead leave when somebody next comes by.
    for (const { client } of [...tickets.values()].flatMap(({ calls }) => calls)) {
      if (this.#client(Number(client)).phase !== 'gone') throw new Error('a ticket is left');
    }
    for (const owners of queues.values()) {
      if (owners.some((owner) => !tickets.has(owner))) throw new Error('a place is left');
    }
  }

  /** The next time at which a lease or a sign of life ends. */
  #nextInstant(): number | undefined {
    const times = [...this.board.holders.values()].flatMap(({ until }) => [...until.values()]);
    for (const { calls } of this.board.tickets.values()) {
      for (const { aliveUntil } of calls) times.push(aliveUntil + 1);
    }
    for (const { until } of this.clients) times.push(until);
    const later = times.filter((time) => time > this.#now);
    return later.length > 0 ? Math.min(...later) : undefined;
  }

  #client(index: number): Client {
    const client = this.clients[index];
    if (!client) throw new Error(`no client ${index}`);
    return client;
  }

  #wish(index: number): Wish {
    const wish = this.wishes[index];
    if (!wish) throw new Error(`no wish ${index}`);
    return wish;
  }
}
