import type { IdempotencyRecord } from './answer.ts';
import { isFresh } from './answer-cache.ts';

/**
 * Of an entry: lengths of the head and of the body, u32; until when, and its expiry, f64. Both
 * follow.
 */
const fixedBytes = 24;
const ways = 4;
/**
 * Bytes of the ring for each slot of the index: a third of a short answer, so that few buckets are
 * full.
 */
const bytesPerSlot = 128;

/**
 * The latest first answers that were given, as bytes in one ring, which forgets what it overwrites.
 *
 * Hardly one is asked for again, and each would live for minutes. As objects in a Map they took a
 * twentieth of the CPU of a request, most of it the collector's, which moves what lives long. The
 * index has only numbers, too: a bucket of four slots holds the latest whose hashes meet there, and
 * forgets others.
 */
export class GivenAnswers {
  private readonly ring: Buffer;
  private readonly buckets: number;
  /** Of each slot: the hash of its id, and where its entry begins in all that was ever written. */
  private readonly hashes: Int32Array;
  private readonly places: Float64Array;
  /**
   * Bytes ever written, counted from where an empty slot is long overwritten. The ring holds the
   * last.
   */
  private end: number;

  /**
   * @param bytesMax of the ring; the index takes a tenth more. No page takes memory before its use.
   */
  constructor(bytesMax: number) {
    this.ring = Buffer.allocUnsafeSlow(bytesMax);
    this.buckets = Math.ceil(bytesMax / bytesPerSlot / ways);
    this.hashes = new Int32Array(this.buckets * ways);
    this.places = new Float64Array(this.buckets * ways);
    this.end = 2 * bytesMax;
  }

  set(id: string, { fingerprint, answer, expiresAt }: IdempotencyRecord, ttlMs: number): void {
    const { status, headers, body } = answer;
    const head = JSON.stringify([id, fingerprint, status, headers]);
    const headBytes = Buffer.byteLength(head);
    const bytes = fixedBytes + headBytes + body.length;
    if (bytes > this.ring.length) return;
    const at = this.room(bytes);
    this.ring.writeUInt32LE(headBytes, at);
    this.ring.writeUInt32LE(body.length, at + 4);
    this.ring.writeDoubleLE(performance.now() + ttlMs, at + 8);
    this.ring.writeDoubleLE(
      expiresAt === undefined ? Number.POSITIVE_INFINITY : expiresAt,
      at + 16,
    );
    this.ring.write(head, at + fixedBytes);
    this.ring.set(body, at + fixedBytes + headBytes);
    this.index(hashOf(id), this.end);
    this.end += bytes;
  }

  get(id: string): IdempotencyRecord | undefined {
    const hash = hashOf(id);
    const first = this.bucketOf(hash);
    for (let slot = first; slot < first + ways; slot++) {
      if (this.hashes[slot] !== hash) continue;
      const place = this.places[slot] as number;
      if (this.end - place > this.ring.length) continue;
      const record = this.read(place % this.ring.length, id);
      if (record) return record;
    }
    return undefined;
  }

  /** @returns where an entry fits in one piece */
  private room(bytes: number): number {
    const at = this.end % this.ring.length;
    if (at + bytes <= this.ring.length) return at;
    this.end += this.ring.length - at;
    return 0;
  }

  private index(hash: number, place: number): void {
    const first = this.bucketOf(hash);
    let oldest = first;
    for (let slot = first + 1; slot < first + ways; slot++) {
      if ((this.places[slot] as number) < (this.places[oldest] as number)) oldest = slot;
    }
    this.hashes[oldest] = hash;
    this.places[oldest] = place;
  }

  private bucketOf(hash: number): number {
    // By the upper bits: the lower ones hardly depend on what comes first in an id.
    return Math.floor(((hash >>> 0) / 2 ** 32) * this.buckets) * ways;
  }

  private read(at: number, id: string): IdempotencyRecord | undefined {
    const bodyAt = at + fixedBytes + this.ring.readUInt32LE(at);
    const [of, fingerprint, status, headers] = JSON.parse(
      this.ring.toString('utf8', at + fixedBytes, bodyAt),
    );
    const expiresAt = this.ring.readDoubleLE(at + 16);
    if (of !== id || !isFresh(this.ring.readDoubleLE(at + 8), expiresAt)) return undefined;
    const body = Buffer.from(this.ring.subarray(bodyAt, bodyAt + this.ring.readUInt32LE(at + 4)));
    const record = { fingerprint, answer: { status, headers, body } };
    return expiresAt === Number.POSITIVE_INFINITY ? record : { ...record, expiresAt };
  }
}

/** FNV-1a of 32 bits, over UTF-16 code units. Source: Fowler, Noll and Vo. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return hash;
}
