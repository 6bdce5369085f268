import type { IdempotencyRecord } from './answer.ts';

/** What an entry costs beside its body: map entry, record, strings. Measured, rounded up. */
const entryOverheadBytes = 768;

interface Entry {
  record: IdempotencyRecord;
  until: number;
}

/**
 * Answers of late in this process's memory.
 *
 * Nothing has to be invalidated: a record never changes once it is written. An entry ends after its
 * time to live or at the record's own expiry, whichever is first. Two generations bound the memory:
 * a full young one becomes the old one, whose unused entries go with it. That costs no work per
 * entry, where evicting one by one from a Map took more time than all else that a request does.
 */
export class AnswerCache {
  private readonly generationBytesMax: number;
  private young = new Map<string, Entry>();
  private old = new Map<string, Entry>();
  private bytes = 0;

  /** @param bytesMax of both generations; 0 keeps nothing */
  constructor(bytesMax: number) {
    this.generationBytesMax = bytesMax / 2;
  }

  get(id: string): IdempotencyRecord | undefined {
    let entry = this.young.get(id);
    if (!entry) {
      entry = this.old.get(id);
      if (!entry) return undefined;
      this.add(id, entry);
    }
    return entry.until > Date.now() ? entry.record : undefined;
  }

  set(id: string, record: IdempotencyRecord, ttlMs: number): void {
    const until = Math.min(Date.now() + ttlMs, record.expiresAt ?? Number.POSITIVE_INFINITY);
    this.add(id, { record, until });
  }

  private add(id: string, entry: Entry): void {
    const size = entry.record.answer.body.length + 2 * id.length + entryOverheadBytes;
    if (size > this.generationBytesMax) return;
    if (this.bytes + size > this.generationBytesMax) {
      this.old = this.young;
      this.young = new Map();
      this.bytes = 0;
    }
    this.young.set(id, entry);
    this.bytes += size;
  }
}
