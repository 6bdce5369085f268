import type { IdempotencyRecord } from '../answer.ts';
import { type Claim, ownerLength } from '../claims/claim-store.ts';
import type { Keyed, RedisCalls } from './calls.ts';
import { Coalescer } from './coalescer.ts';
import { completeScript } from './scripts.ts';
import { encodeRecord } from './value.ts';

/** An encoded answer. */
interface Completion extends Keyed {
  owner: string;
  value: Buffer;
  /** Whole milliseconds, as Redis counts them. */
  ttlMs: number;
}

/** Puts answers where their claims are. */
export class RedisAnswers {
  private readonly calls: RedisCalls;
  private readonly completions: Coalescer<Completion>;

  /** @param schedule called when something waits for {@link flush} */
  constructor(calls: RedisCalls, schedule: () => void) {
    this.calls = calls;
    this.completions = new Coalescer<Completion>((items) => this.sendCompletions(items), schedule, {
      bytes: (item) => item.value.length,
      // One call has one time to live for all.
      fits: (first, item) => first.ttlMs === item.ttlMs,
    });
  }

  flush(): void {
    this.completions.flush();
  }

  /** Over the claim of this owner alone. @returns false when the claim was lost */
  async complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    const { scope, key, owner } = claim;
    // Such an owner has no claim, and would shift those behind it.
    if (Buffer.byteLength(owner) !== ownerLength) return false;
    // Encoded here, so that a record that cannot be stored fails alone.
    const value = encodeRecord(record);
    const completion = { scope, key, owner, value, ttlMs: Math.ceil(ttlMs) };
    return (await this.completions.add(completion)) === 1;
  }

  private sendCompletions(items: readonly Completion[]): Promise<unknown> {
    let owners = '';
    for (const { owner } of items) owners += owner;
    const args = [`${items[0]?.ttlMs}`, joined(items), owners];
    return this.calls.script(completeScript, items, args);
  }
}

/** Values one after the other; each says how long it is. */
function joined(items: readonly Completion[]): Buffer {
  const [first] = items;
  return first && items.length === 1 ? first.value : Buffer.concat(items.map(({ value }) => value));
}
