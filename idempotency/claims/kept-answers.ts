import type { IdempotencyRecord } from '../answer.ts';
import { entryBytes } from '../answer-cache.ts';

interface Entry {
  record: IdempotencyRecord;
  /** In `performance.now()` milliseconds. */
  until: number;
}

/**
 * Answers that must be kept until their time to live ends, for they are remembered nowhere else.
 *
 * Nothing is dropped for want of space; {@link isFull} says when no more should be begun. The
 * answers of what runs at that moment are still taken, beyond the bound. Answers of one time to
 * live leave in the order they came; one that outlasts those behind it delays their leaving.
 */
export class KeptAnswers {
  private readonly bytesMax: number;
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get(id: string): IdempotencyRecord | undefined {
    const entry = this.entries.get(id);
    if (!entry) return undefined;
    if (entry.until > performance.now()) return entry.record;
    this.drop(id, entry);
    return undefined;
  }

  set(id: string, record: IdempotencyRecord, ttlMs: number): void {
    this.dropExpired();
    const before = this.entries.get(id);
    if (before) this.drop(id, before);
    this.entries.set(id, { record, until: performance.now() + ttlMs });
    this.bytes += entryBytes(id, record);
  }

  isFull(): boolean {
    this.dropExpired();
    return this.bytes >= this.bytesMax;
  }

  private dropExpired(): void {
    const now = performance.now();
    for (const [id, entry] of this.entries) {
      if (entry.until > now) return;
      this.drop(id, entry);
    }
  }

  private drop(id: string, entry: Entry): void {
    this.entries.delete(id);
    this.bytes -= entryBytes(id, entry.record);
  }
}
