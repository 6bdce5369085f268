import type { ClaimStore } from './claims/claim-store.ts';
import type { Flight } from './flight.ts';

export interface RenewalOptions {
  readonly claims: ClaimStore;
  readonly leaseMs: number;
  /** What is under way, asked for at each round. */
  readonly flights: () => Iterable<Flight>;
  readonly onError: (error: unknown) => void;
}

/**
 * Renews the claims of requests that run for long, each at a third of its lease, and aborts the
 * signal of those whose lease ended before a renewal reached the store.
 *
 * One timer for all claims; a request that ends within a third of the lease never meets it.
 */
export class Renewal {
  private readonly options: RenewalOptions;
  private round: NodeJS.Timeout | undefined;
  private lapse: NodeJS.Timeout | undefined;

  constructor(options: RenewalOptions) {
    this.options = options;
  }

  /** Begins, if it has not; keeps no process alive. */
  start(): void {
    this.round ??= setInterval(() => this.renew(), this.options.leaseMs / 3).unref();
  }

  stop(): void {
    clearInterval(this.round);
    clearTimeout(this.lapse);
  }

  private renew(): void {
    this.loseLapsed();
    const { claims, leaseMs, flights, onError } = this.options;
    const now = performance.now();
    const due: Flight[] = [];
    for (const flight of flights()) {
      if (flight.holds && now - flight.heldSince >= leaseMs / 3) due.push(flight);
    }
    if (due.length === 0) return;
    const asked = due.map(({ claim }) => claim);
    claims.renew(asked, leaseMs).then((held) => {
      due.forEach((flight, i) => {
        // Answers may overtake each other.
        if (held[i]) flight.heldSince = Math.max(flight.heldSince, now);
        // Undefined: the store cannot tell; the lease decides when it is over.
        else if (held[i] === false) flight.lose();
      });
    }, onError);
  }

  /** Loses the claims that no renewal reached in time, and comes back when the next lease ends. */
  private loseLapsed(): void {
    clearTimeout(this.lapse);
    const { leaseMs, flights } = this.options;
    const now = performance.now();
    let first = Number.POSITIVE_INFINITY;
    for (const flight of flights()) {
      if (!flight.holds) continue;
      const left = flight.heldSince + leaseMs - now;
      if (left <= 0) flight.lose();
      else first = Math.min(first, left);
    }
    // What ends later is met again at the next renewal.
    if (first > leaseMs / 2) return;
    this.lapse = setTimeout(() => this.loseLapsed(), Math.ceil(first)).unref();
  }
}
