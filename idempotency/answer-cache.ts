import type { IdempotencyRecord } from './answer.ts';

/** What an entry costs beside its body: map entry, record, strings. Measured, rounded up. */
const entryOverheadBytes = 768;

/** What an answer costs in memory, in bytes. */
export function entryBytes(id: string, record: IdempotencyRecord): number {
  return record.answer.body.length + 2 * id.length + entryOverheadBytes;
}

/**
 * @param until in `performance.now()` milliseconds
 * @param expiresAt of the record, if it has one
 */
export function isFresh(until: number, expiresAt: number | undefined): boolean {
  if (until <= performance.now()) return false;
  return expiresAt === undefined || expiresAt > Date.now();
}

interface Entry {
  record: IdempotencyRecord;
  /** In `performance.now()` milliseconds. */
  until: number;
}

/**
 * Answers of late in this process's memory.
 *
 * Nothing has to be invalidated: a record never changes once it is written. An entry ends after its
 * time to live by the monotonic clock, or at the record's own expiry by this machine's clock,
 * whichever is first: the one goes on when the clock is set back, the other while the machine
 * sleeps. The expiry is of the database's clock. Where this one is behind by some seconds, an
 * answer may be served that much longer than it is retained, but never beyond its time to live, and
 * retention is a minimum; where it is ahead, the answer is looked up in the database that much
 * earlier. Two generations bound the memory: a full young one becomes the old one, whose unused
 * entries go with it. That costs no work per entry, where evicting one by one from a Map took more
 * time than all else that a request does.
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
    const { record, until } = entry;
    return isFresh(until, record.expiresAt) ? record : undefined;
  }

  set(id: string, record: IdempotencyRecord, ttlMs: number): void {
    this.add(id, { record, until: performance.now() + ttlMs });
  }

  private add(id: string, entry: Entry): void {
    const size = entryBytes(id, entry.record);
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
