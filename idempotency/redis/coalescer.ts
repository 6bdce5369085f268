import type { RedisArgument } from './connection.ts';

/**
 * Most entries of one script call. A script blocks Redis while it runs: 128 entries take about
 * 0.3 ms. More entries go out as further calls in the same write.
 */
export const entriesMax = 128;

interface Entry<T> {
  item: T;
  resolve: (reply: unknown) => void;
  reject: (error: unknown) => void;
}

/** How a list of items becomes one script call; replies come in the order of `items`. */
export type Send<T> = (items: readonly T[]) => Promise<unknown>;

export interface ScriptInput {
  keys: string[];
  args: RedisArgument[];
}

/** Gathers the items of one tick by scope and sends each scope's as one call. */
export class Coalescer<T extends { scope: string }> {
  private readonly send: Send<T>;
  private readonly schedule: () => void;
  private scopes = new Map<string, Entry<T>[]>();

  constructor(send: Send<T>, schedule: () => void) {
    this.send = send;
    this.schedule = schedule;
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
    for (const entries of scopes.values()) {
      for (let at = 0; at < entries.length; at += entriesMax) {
        this.sendChunk(entries.length <= entriesMax ? entries : entries.slice(at, at + entriesMax));
      }
    }
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
