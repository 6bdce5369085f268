import type { IdempotencyRecord } from '../answer.ts';
import { type Claim, type CommittedAnswer, ownerLength } from '../claims/claim-store.ts';
import { isWrongType, type Keyed, type RedisCalls } from './calls.ts';
import { Coalescer, chunksOf, fewMax } from './coalescer.ts';
import { completeScript, keepScript } from './scripts.ts';
import { encodeRecord, isWaitedFor } from './value.ts';

/** An encoded answer. */
interface Kept extends Keyed {
  value: Buffer;
  /** Whole milliseconds, as Redis counts them. */
  ttlMs: number;
}

interface Completion extends Kept {
  owner: string;
}

const bytes = (item: Kept) => item.value.length;

/** Puts answers where their claims are. */
export class RedisAnswers {
  private readonly calls: RedisCalls;
  private readonly completions: Coalescer<Completion>;

  /** @param schedule called when something waits for {@link flush} */
  constructor(calls: RedisCalls, schedule: () => void) {
    this.calls = calls;
    this.completions = new Coalescer<Completion>((items) => this.sendCompletions(items), schedule, {
      bytes,
      // One call has one time to live for all.
      fits: (first, item) => first.ttlMs === item.ttlMs,
    });
  }

  flush(): void {
    this.completions.flush();
  }

  /** Over the claim of this owner alone. @returns false when the claim was lost */
  async complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    const { owner } = claim;
    // Such an owner has no claim, and would shift those behind it.
    if (Buffer.byteLength(owner) !== ownerLength) return false;
    // Encoded here, so that a record that cannot be stored fails alone.
    const completion = { ...keptOf({ claim, record, ttlMs }), owner };
    return (await this.completions.add(completion)) === 1;
  }

  /**
   * Also over the claims of other owners: the records are committed, and are what those will find.
   * @returns the calls that were made, or failed to be
   */
  keep(answers: readonly CommittedAnswer[]): Promise<unknown>[] {
    const calls: Promise<unknown>[] = [];
    const encoded: Kept[] = [];
    for (const answer of answers) {
      try {
        encoded.push(keptOf(answer));
      } catch (error) {
        // A record that cannot be stored fails alone.
        calls.push(Promise.reject(error));
      }
    }
    const scopes = Map.groupBy(encoded, ({ scope }) => scope);
    for (const kept of scopes.values()) calls.push(...this.send(kept));
    return calls;
  }

  private send(items: readonly Kept[]): Promise<unknown>[] {
    if (this.calls.hasCommands && items.length <= fewMax) {
      return items.map((item) => this.keepOne(item));
    }
    const chunks = [...chunksOf(items, { bytes })];
    return chunks.map(([from, end]) => this.keepTogether(items.slice(from, end)));
  }

  // Async, so that what throws at once fails alone.
  private async keepTogether(items: readonly Kept[]): Promise<void> {
    // Times to live that end with records differ by milliseconds; what ends early is looked up.
    const ttlMs = items.reduce((least, item) => Math.min(least, item.ttlMs), Number.MAX_VALUE);
    await this.calls.script(keepScript, items, [`${ttlMs}`, joined(items)]);
  }

  private async keepOne(item: Kept): Promise<void> {
    const key = this.calls.keyOf(item);
    let before: unknown;
    try {
      before = await this.calls.command(['SET', key, item.value, 'GET', 'PX', String(item.ttlMs)]);
    } catch (error) {
      if (!isWrongType(error)) throw error;
    }
    if (isWaitedFor(before)) await this.calls.command(['PUBLISH', key, '']);
  }

  private sendCompletions(items: readonly Completion[]): Promise<unknown> {
    let owners = '';
    for (const { owner } of items) owners += owner;
    const args = [`${items[0]?.ttlMs}`, joined(items), owners];
    return this.calls.script(completeScript, items, args);
  }
}

function keptOf({ claim, record, ttlMs }: CommittedAnswer): Kept {
  const { scope, key } = claim;
  return { scope, key, value: encodeRecord(record), ttlMs: Math.ceil(ttlMs) };
}

/** Values one after the other; each says how long it is. */
function joined(items: readonly Kept[]): Buffer {
  const [first] = items;
  return first && items.length === 1 ? first.value : Buffer.concat(items.map(({ value }) => value));
}
