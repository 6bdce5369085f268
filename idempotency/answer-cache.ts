import type { IdempotencyRecord } from './answer.ts';

/** What an entry costs beside its body: map entry, record, strings. Measured, rounded up. */
const entryOverheadBytes = 768;

/**
 * Answers of late in this process's memory, least recently used first out.
 *
 * Nothing has to be invalidated: a record never changes once it is written. An entry ends after its
 * time to live or at the record's own expiry, whichever is first.
 */
export class AnswerCache {
  private readonly entries = new Map<string, { record: IdempotencyRecord; until: number }>();
  private readonly bytesMax: number;
  private bytes = 0;

  /** @param bytesMax 0 keeps nothing */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get(id: string): IdempotencyRecord | undefined {
    const entry = this.entries.get(id);
    if (!entry) return undefined;
    this.entries.delete(id);
    if (entry.until <= Date.now()) {
      this.bytes -= cost(id, entry.record);
      return undefined;
    }
    this.entries.set(id, entry);
    return entry.record;
  }

  set(id: string, record: IdempotencyRecord, ttlMs: number): void {
    const size = cost(id, record);
    if (size > this.bytesMax) return;
    this.delete(id);
    const until = Math.min(Date.now() + ttlMs, record.expiresAt ?? Number.POSITIVE_INFINITY);
    this.entries.set(id, { record, until });
    this.bytes += size;
    while (this.bytes > this.bytesMax) this.delete(this.entries.keys().next().value as string);
  }

  private delete(id: string): void {
    const entry = this.entries.get(id);
    if (!entry) return;
    this.entries.delete(id);
    this.bytes -= cost(id, entry.record);
  }
}

function cost(id: string, record: IdempotencyRecord): number {
  return record.answer.body.length + 2 * id.length + entryOverheadBytes;
}
