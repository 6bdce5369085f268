import { keyId } from '../key-id.ts';
import { type Query, rowsOf } from './query.ts';

/** Most entries of one statement; more go out as further statements. */
const entriesMax = 500;

interface Entry<T> {
  item: T;
  resolve: (changed: boolean) => void;
  reject: (error: unknown) => void;
}

/** Gathers the items of one tick into one statement that returns the rows it changed. */
export class Gatherer<T extends { scope: string; key: string }> {
  private readonly send: (items: readonly T[]) => ReturnType<Query>;
  private batches: Map<string, Entry<T>>[] = [];

  constructor(send: (items: readonly T[]) => ReturnType<Query>) {
    this.send = send;
  }

  /** @returns whether the statement changed the row of this item */
  add(item: T): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const id = keyId(item.scope, item.key);
      // A statement may change a row once, so a second entry for a key goes into the next one.
      let batch = this.batches.find((open) => open.size < entriesMax && !open.has(id));
      if (!batch) {
        batch = new Map();
        this.batches.push(batch);
        if (this.batches.length === 1) setImmediate(() => void this.flush());
      }
      batch.set(id, { item, resolve, reject });
    });
  }

  private async flush(): Promise<void> {
    const batches = this.batches;
    this.batches = [];
    for (const batch of batches) await this.sendBatch(batch);
  }

  private async sendBatch(batch: Map<string, Entry<T>>): Promise<void> {
    const entries = [...batch.values()];
    try {
      const result = await this.send(entries.map((entry) => entry.item));
      const rows = rowsOf<{ scope: string; key: string }>(result);
      const changed = new Set(rows.map((row) => keyId(row.scope, row.key)));
      for (const [id, entry] of batch) entry.resolve(changed.has(id));
    } catch (error) {
      for (const entry of entries) entry.reject(error);
    }
  }
}
