/**
 * Most entries of one script call. A script blocks Redis while it runs: 128 entries take about
 * 0.3 ms. More entries go out as further calls in the same write.
 */
export const entriesMax = 128;

/**
 * Most bytes of values in one script call, unless one value alone has more: joining, sending and
 * copying them keeps this process and Redis busy for some milliseconds each.
 */
export const chunkBytesMax = 4 * 1024 * 1024;

/**
 * Most claims of a scope that go out as commands of their own, and most claims of a tick that are
 * sent at once. Of a claim and another command of its key among 16, commands cost Redis 6 µs of 11
 * less than scripts, and this process half a microsecond more; among 40, 5 of 10 less and 2 more,
 * and this process is what runs out of time first.
 */
export const fewMax = 16;

interface Waiter {
  resolve: (reply: unknown) => void;
  reject: (error: unknown) => void;
}

/** What one tick brought of a scope; `waiters[i]` is told what became of `items[i]`. */
interface Gathered<T> {
  items: T[];
  waiters: Waiter[];
}

/** How a list of items becomes one script call; replies come in the order of `items`. */
export type Send<T> = (items: readonly T[]) => Promise<unknown>;

/** What may travel in one script call, beside {@link entriesMax}. */
export interface ChunkBounds<T> {
  /** Whether `item` may share a call with the chunk's first. Default: all may. */
  fits?: (first: T, item: T) => boolean;
  /** Bytes of an item, which count towards {@link chunkBytesMax}. Default: they are not counted. */
  bytes?: (item: T) => number;
}

export interface CoalescerOptions<T> extends ChunkBounds<T> {
  /** Sends one of a {@link fewMax} or less by itself. Default: a script call sends them all. */
  one?: ((item: T) => Promise<unknown>) | undefined;
}

/** Cuts items into script calls. @returns of each its first index, and the one behind its last */
export function* chunksOf<T>(
  items: readonly T[],
  { fits, bytes }: ChunkBounds<T>,
): Generator<[from: number, end: number]> {
  for (let from = 0, end = 0; from < items.length; from = end) {
    const first = items[from] as T;
    const last = Math.min(items.length, from + entriesMax);
    let total = bytes ? bytes(first) : 0;
    for (end = from + 1; end < last; end++) {
      const item = items[end] as T;
      if (fits && !fits(first, item)) break;
      if (bytes) total += bytes(item);
      if (total > chunkBytesMax) break;
    }
    yield [from, end];
  }
}

/** Gathers the items of one tick by scope and sends each scope's as one call, or few one by one. */
export class Coalescer<T extends { scope: string }> {
  private readonly send: Send<T>;
  private readonly schedule: () => void;
  private readonly options: CoalescerOptions<T>;
  private scopes = new Map<string, Gathered<T>>();

  constructor(send: Send<T>, schedule: () => void, options: CoalescerOptions<T> = {}) {
    this.send = send;
    this.schedule = schedule;
    this.options = options;
  }

  /** Scopes that something was gathered for. */
  get size(): number {
    return this.scopes.size;
  }

  add(item: T): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let gathered = this.scopes.get(item.scope);
      if (!gathered) {
        gathered = { items: [], waiters: [] };
        this.scopes.set(item.scope, gathered);
      }
      gathered.items.push(item);
      gathered.waiters.push({ resolve, reject });
      this.schedule();
    });
  }

  flush(): void {
    if (this.scopes.size === 0) return;
    const scopes = this.scopes;
    this.scopes = new Map();
    const { one } = this.options;
    for (const { items, waiters } of scopes.values()) {
      if (one && items.length <= fewMax) {
        items.forEach((item, i) => {
          const { resolve, reject } = waiters[i] as Waiter;
          one(item).then(resolve, reject);
        });
        continue;
      }
      for (const [from, end] of chunksOf(items, this.options)) {
        this.sendChunk(items.slice(from, end), waiters.slice(from, end));
      }
    }
  }

  // Also what throws at once: nobody stands above the tick that flushes.
  private async call(items: readonly T[]): Promise<unknown> {
    return this.send(items);
  }

  private sendChunk(items: readonly T[], waiters: readonly Waiter[]): void {
    this.call(items).then(
      (replies) => {
        if (!Array.isArray(replies) || replies.length !== items.length) {
          const error = new Error('Redis answered a script with something else than its replies.');
          for (const { reject } of waiters) reject(error);
          return;
        }
        for (let i = 0; i < waiters.length; i++) (waiters[i] as Waiter).resolve(replies[i]);
      },
      (error) => {
        for (const { reject } of waiters) reject(error);
      },
    );
  }
}
