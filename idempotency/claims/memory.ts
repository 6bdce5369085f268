import type { IdempotencyRecord } from '../answer.ts';
import { keyId } from '../key-id.ts';
import type { Claim, ClaimResult, ClaimStore } from './claim-store.ts';
import { KeptAnswers } from './kept-answers.ts';

export interface MemoryClaimsOptions {
  /**
   * Without records in a database: bytes of completed answers, each counted as its body and about
   * 800 more. None goes before its time: new claims are refused while there are more. Default 256
   * MiB, some 200 000 small answers per retention.
   */
  answerBytesMax?: number;
}

interface Held {
  claim: Claim;
  until: number;
}

/**
 * Claims of one process: for tests, for a single process, and as the stand-in while Redis is gone.
 *
 * Claims are bounded by the requests that run, answers by `answerBytesMax`.
 */
export function memoryClaims(options: MemoryClaimsOptions = {}): ClaimStore {
  return new MemoryClaims(options.answerBytesMax);
}

class MemoryClaims implements ClaimStore {
  private readonly held = new Map<string, Held>();
  private readonly answers: KeptAnswers;
  private readonly watchers = new Map<string, Set<() => void>>();
  private isOnlyMemory = false;
  private warned = false;

  constructor(answerBytesMax = 256 * 1024 * 1024) {
    this.answers = new KeptAnswers(answerBytesMax);
  }

  keepUntilExpiry(): void {
    this.isOnlyMemory = true;
  }

  async claim(claim: Claim, leaseMs: number): Promise<ClaimResult> {
    const id = keyId(claim.scope, claim.key);
    const known = this.look(id);
    if (known?.state === 'completed') return known;
    if (known && this.held.get(id)?.claim.owner !== claim.owner) return known;
    if (!known) this.refuseWhenFull();
    this.held.set(id, { claim, until: performance.now() + leaseMs });
    return { state: 'claimed' };
  }

  async complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    const id = keyId(claim.scope, claim.key);
    if (!this.owns(id, claim)) return false;
    this.held.delete(id);
    this.answers.set(id, record, ttlMs);
    this.wake(id);
    return true;
  }

  async release(claim: Claim): Promise<boolean> {
    const id = keyId(claim.scope, claim.key);
    if (!this.owns(id, claim)) return false;
    this.held.delete(id);
    this.wake(id);
    return true;
  }

  async renew(claims: readonly Claim[], leaseMs: number): Promise<boolean[]> {
    return claims.map((claim) => {
      const id = keyId(claim.scope, claim.key);
      if (!this.owns(id, claim)) return false;
      this.held.set(id, { claim, until: performance.now() + leaseMs });
      return true;
    });
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    return this.look(keyId(scope, key));
  }

  async watch(scope: string, key: string, wake: () => void): Promise<() => void> {
    const id = keyId(scope, key);
    const watchers = this.watchers.get(id) ?? new Set();
    this.watchers.set(id, watchers.add(wake));
    return () => {
      watchers.delete(wake);
      if (watchers.size === 0 && this.watchers.get(id) === watchers) this.watchers.delete(id);
    };
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  private look(id: string): ClaimResult | undefined {
    const record = this.answers.get(id);
    if (record) return { state: 'completed', record };
    const held = this.held.get(id);
    if (!held) return undefined;
    const leaseMs = held.until - performance.now();
    if (leaseMs > 0) return { state: 'in-flight', fingerprint: held.claim.fingerprint, leaseMs };
    this.held.delete(id);
    return undefined;
  }

  /** A claim whose answer could not be kept would run again. */
  private refuseWhenFull(): void {
    if (!this.isOnlyMemory || !this.answers.isFull()) return;
    const message =
      'The memory for idempotent answers is full until the first of them expire: raise `answerBytesMax`, ' +
      'shorten `retentionMs`, or keep claims in Redis or PostgreSQL.';
    // Clients see a 503; whoever runs the process must see why.
    if (!this.warned) process.emitWarning(message, { code: 'IDEMPOTENCY_MEMORY_FULL' });
    this.warned = true;
    throw new Error(message);
  }

  private owns(id: string, claim: Claim): boolean {
    this.look(id);
    return this.held.get(id)?.claim.owner === claim.owner;
  }

  private wake(id: string): void {
    for (const wake of this.watchers.get(id) ?? []) wake();
  }
}
