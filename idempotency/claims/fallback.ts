import type { IdempotencyRecord } from '../answer.ts';
import { newOwner } from '../owner.ts';
import { tell } from '../tell.ts';
import { type Claim, type ClaimResult, type ClaimStore, settleClaims } from './claim-store.ts';

export interface FallbackOptions {
  /** Called once when the primary store failed and the secondary took over. */
  onDegraded?: (error: unknown) => void;
  /** Called once when the primary store can be written again. */
  onRecovered?: () => void;
  /**
   * Pause before a failed primary is tried again, in milliseconds. Default 1 000; it doubles up to
   * 30 000 while the primary goes on failing, ±10 % at random.
   */
  probeMs?: number;
}

/** Longest pause between probes: what the end of a long outage waits for at most. */
const probeMsMax = 30_000;

/**
 * The key a probe claims, in the scope of the call that failed: in a cluster that is on the server
 * that failed. No header can name it, for it has spaces.
 */
const probeKey = 'probe of the claim store';

/** A probe is released at once; this is how long one lies there whose release was lost. */
const probeLeaseMs = 1_000;

/** A claim store that says whether it runs on its secondary. */
export interface FallbackClaims extends ClaimStore {
  readonly degraded: boolean;
}

/**
 * Uses `primary` while it answers, else `secondary`. No request fails because of the primary.
 *
 * The first failure opens a breaker: no request pays for a second one. While open, probes claim and
 * release a key of their own, which a store that answers but refuses writes refuses as well; the
 * first that succeeds closes the breaker. What the callbacks throw becomes a warning of the
 * process. Only for layers whose records are in a database: two processes on their own memory can
 * both claim a key, and then the database must decide.
 */
export function fallbackClaims(
  primary: ClaimStore,
  secondary: ClaimStore,
  options: FallbackOptions = {},
): FallbackClaims {
  return new Fallback(primary, secondary, options);
}

class Fallback implements FallbackClaims {
  degraded = false;
  private readonly primary: ClaimStore;
  private readonly secondary: ClaimStore;
  private readonly options: FallbackOptions;
  private readonly probeMs: number;
  private probe: NodeJS.Timeout | undefined;
  private closed = false;
  /** Why the primary is not used. */
  private failure: unknown;
  /** Owners whose claim the secondary granted. */
  private readonly secondaryOwners = new Set<string>();

  constructor(primary: ClaimStore, secondary: ClaimStore, options: FallbackOptions) {
    this.primary = primary;
    this.secondary = secondary;
    this.options = options;
    this.probeMs = options.probeMs ?? 1_000;
  }

  async claim(claim: Claim, leaseMs: number): Promise<ClaimResult> {
    if (!this.degraded) {
      try {
        return await this.primary.claim(claim, leaseMs);
      } catch (error) {
        this.degrade(error, claim.scope);
      }
    }
    const result = await this.secondary.claim(claim, leaseMs);
    if (result.state === 'claimed') this.secondaryOwners.add(claim.owner);
    return result;
  }

  complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    return this.end(claim, (store) => store.complete(claim, record, ttlMs));
  }

  /** In the primary too where the secondary granted, as {@link end} does. */
  async settle(claims: readonly Claim[]): Promise<void> {
    const granted = claims.filter(({ owner }) => this.secondaryOwners.delete(owner));
    // By scope, so that a probe looks at the server that failed.
    const calls = [...Map.groupBy(claims, ({ scope }) => scope)].map(([scope, of]) =>
      this.onPrimary(scope, (store) => settleClaims(store, of), undefined),
    );
    if (granted.length > 0) calls.push(settleClaims(this.secondary, granted));
    await Promise.all(calls);
  }

  release(claim: Claim): Promise<boolean> {
    return this.end(claim, (store) => store.release(claim));
  }

  async renew(claims: readonly Claim[], leaseMs: number): Promise<(boolean | undefined)[]> {
    const second = claims.filter((claim) => this.secondaryOwners.has(claim.owner));
    if (second.length === 0) return this.renewOnPrimary(claims, leaseMs);
    const first = claims.filter((claim) => !this.secondaryOwners.has(claim.owner));
    const unknown: undefined[] = [];
    const [seconds, firsts] = await Promise.all([
      this.secondary.renew(second, leaseMs),
      first.length === 0 ? unknown : this.renewOnPrimary(first, leaseMs).catch(() => unknown),
    ]);
    const held = new Map<string, boolean | undefined>();
    for (const [i, claim] of second.entries()) held.set(claim.owner, seconds[i]);
    for (const [i, claim] of first.entries()) held.set(claim.owner, firsts[i]);
    return claims.map((claim) => held.get(claim.owner));
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    const known = await this.onPrimary(scope, (store) => store.peek(scope, key), undefined);
    return known ?? this.secondary.peek(scope, key);
  }

  async watch(scope: string, key: string, wake: () => void): Promise<() => void> {
    const silent = () => {};
    // A failed subscription says little about the store; the waiter polls anyway.
    const stops = await Promise.all([
      this.degraded ? silent : this.primary.watch(scope, key, wake).catch(() => silent),
      this.secondary.watch(scope, key, wake),
    ]);
    return () => {
      for (const stop of stops) stop();
    };
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.probe);
    await Promise.all([this.primary.close(), this.secondary.close()]);
  }

  /** The primary too where the secondary granted: a claim whose reply was lost is held there. */
  private async end(
    claim: Claim,
    change: (store: ClaimStore) => Promise<boolean>,
  ): Promise<boolean> {
    const granted = this.secondaryOwners.size > 0 && this.secondaryOwners.delete(claim.owner);
    // Both at once: a failure of one that nobody awaits yet would end the process.
    const [second, first] = await Promise.all([
      granted ? change(this.secondary) : false,
      this.onPrimary(claim.scope, change, false),
    ]);
    return second || first;
  }

  /** Rejects when the primary cannot tell: the claims may be held or lost. */
  private async renewOnPrimary(
    claims: readonly Claim[],
    leaseMs: number,
  ): Promise<(boolean | undefined)[]> {
    if (this.degraded) {
      throw new Error('The primary claim store is not in use.', { cause: this.failure });
    }
    try {
      return await this.primary.renew(claims, leaseMs);
    } catch (error) {
      this.degrade(error, claims[0]?.scope ?? '');
      throw error;
    }
  }

  private async onPrimary<T>(
    scope: string,
    use: (store: ClaimStore) => Promise<T>,
    otherwise: T,
  ): Promise<T> {
    if (this.degraded) return otherwise;
    try {
      return await use(this.primary);
    } catch (error) {
      this.degrade(error, scope);
      return otherwise;
    }
  }

  private degrade(error: unknown, scope: string): void {
    if (this.degraded || this.closed) return;
    this.degraded = true;
    this.failure = error;
    this.scheduleProbe(scope, this.probeMs);
    tell(() => this.options.onDegraded?.(error));
  }

  private scheduleProbe(scope: string, pauseMs: number): void {
    const delay = pauseMs * (0.9 + Math.random() / 5);
    this.probe = setTimeout(() => this.look(scope, pauseMs), delay).unref();
  }

  private async look(scope: string, pauseMs: number): Promise<void> {
    try {
      await probe(this.primary, scope);
    } catch {
      const nextMs = Math.max(pauseMs, Math.min(2 * pauseMs, probeMsMax));
      if (!this.closed) this.scheduleProbe(scope, nextMs);
      return;
    }
    if (this.closed) return;
    this.degraded = false;
    this.failure = undefined;
    tell(() => this.options.onRecovered?.());
  }
}

/** Rejects while the store does not do what requests need of it. */
async function probe(store: ClaimStore, scope: string): Promise<void> {
  const claim = { scope, key: probeKey, fingerprint: '0'.repeat(64), owner: newOwner() };
  const result = await store.claim(claim, probeLeaseMs);
  // Else another process probes: the store made the same writes for it.
  if (result.state === 'claimed') await store.release(claim);
}
