import type { Attempt, Claim, LockDriver } from '../driver.ts';

interface Held {
  readonly owner: string;
  /** On the monotonic clock, ms. */
  readonly until: number;
}

/** Locks within one process: for tests, and where no server is at hand. */
export function memoryDriver(): (prefix: string) => LockDriver {
  const held = new Map<string, Held>();
  return () => new MemoryDriver(held);
}

class MemoryDriver implements LockDriver {
  readonly #held: Map<string, Held>;
  #token = 0;

  constructor(held: Map<string, Held>) {
    this.#held = held;
  }

  async acquire({ keys, owner, leaseMs }: Claim): Promise<Attempt> {
    const now = performance.now();
    for (const key of keys) {
      const other = this.#held.get(key);
      if (other && other.owner !== owner && other.until > now) {
        return { granted: false, retryMs: other.until - now };
      }
    }
    for (const key of keys) this.#held.set(key, { owner, until: now + leaseMs });
    this.#token = Math.max(this.#token + 1, Date.now() * 1000);
    return { granted: true, token: this.#token };
  }

  async extend({ keys, owner, leaseMs }: Claim): Promise<boolean> {
    if (!keys.every((key) => this.#holds(key, owner))) return false;
    for (const key of keys) this.#held.set(key, { owner, until: performance.now() + leaseMs });
    return true;
  }

  async release({ keys, owner }: Claim): Promise<boolean> {
    const mine = keys.filter((key) => this.#holds(key, owner));
    for (const key of mine) this.#held.delete(key);
    return mine.length === keys.length;
  }

  #holds(key: string, owner: string): boolean {
    const held = this.#held.get(key);
    return held !== undefined && held.owner === owner && held.until > performance.now();
  }
}
