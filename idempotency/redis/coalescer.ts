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
 * Most entries of a scope that go out as commands of their own. Of a claim and a completion among 16,
 * commands cost Redis 6 µs of 11 less than scripts, and this process half a microsecond more; among 40,
 * 5 of 10 less and 2 more, and this process is what runs out of time first.
 */
export const fewMax = 16;

interface Entry<T> {
  item: T;
  resolve: (reply: unknown) => void;
  reject: (error: unknown) => void;
}

/** How a list of items becomes one script call; replies come in the order of `items`. */
export type Send<T> = (items: readonly T[]) => Promise<unknown>;

/** What may travel in one script call, beside {@link entriesMax}. */
export interface ChunkBounds<T> {
  /** Whether `item` may share a call with the chunk's first. Default: all may. */
  fits?: (first: T, item: T) => boolean;
  /** Bytes of an item, which count towards {@link chunkBytesMax}. Default: they are not counted. */
  bytes?: (item: T) => number;
  /** Sends one of a {@link fewMax} or less by itself. Default: a script call sends them all. */
  one?: ((item: T) => Promise<unknown>) | undefined;
}

/** Gathers the items of one tick by scope and sends each scope's as one call, or few one by one. */
export class Coalescer<T extends { scope: string }> {
  private readonly send: Send<T>;
  private readonly schedule: () => void;
  private readonly bounds: ChunkBounds<T>;
  private scopes = new Map<string, Entry<T>[]>();

  constructor(send: Send<T>, schedule: () => void, bounds: ChunkBounds<T> = {}) {
    this.send = send;
    this.schedule = schedule;
    this.bounds = bounds;
  }

  add(item: T): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const entries = this.scopes.get(item.scope);
      const entry = { item, resolve, reject };
      if (entries) entries.push(entry);
      else this.scopes.set(item.scope, [entry]);
      this.schedule();
    });
  }

  flush(): void {
    if (this.scopes.size === 0) return;
    const scopes = this.scopes;
    this.scopes = new Map();
    const { one } = this.bounds;
    for (const entries of scopes.values()) {
      if (one && entries.length <= fewMax) {
        for (const entry of entries) one(entry.item).then(entry.resolve, entry.reject);
        continue;
      }
      for (let at = 0; at < entries.length; ) {
        const end = this.chunkEnd(entries, at);
        this.sendChunk(end - at === entries.length ? entries : entries.slice(at, end));
        at = end;
      }
    }
  }

  /** @returns where the chunk that begins at `from` ends; at least one entry later */
  private chunkEnd(entries: readonly Entry<T>[], from: number): number {
    const { fits, bytes } = this.bounds;
    const first = (entries[from] as Entry<T>).item;
    const last = Math.min(entries.length, from + entriesMax);
    let total = bytes ? bytes(first) : 0;
    let end = from + 1;
    for (; end < last; end++) {
      const { item } = entries[end] as Entry<T>;
      if (fits && !fits(first, item)) break;
      if (bytes) total += bytes(item);
      if (total > chunkBytesMax) break;
    }
    return end;
  }

  // Also what throws at once: nobody stands above the tick that flushes.
  private async call(entries: readonly Entry<T>[]): Promise<unknown> {
    return this.send(entries.map((entry) => entry.item));
  }

  private sendChunk(entries: readonly Entry<T>[]): void {
    this.call(entries).then(
      (replies) => {
        if (!Array.isArray(replies) || replies.length !== entries.length) {
          const error = new Error('Redis answered a script with something else than its replies.');
          for (const entry of entries) entry.reject(error);
          return;
        }
        for (let i = 0; i < entries.length; i++) (entries[i] as Entry<T>).resolve(replies[i]);
      },
      (error) => {
        for (const entry of entries) entry.reject(error);
      },
    );
  }
}
