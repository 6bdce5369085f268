import type { IdempotencyRecord } from '../answer.ts';
import type { Claim, ClaimResult, ClaimStore } from './claim-store.ts';

export interface FallbackOptions {
  /** Called once when the primary store failed and the secondary took over. */
  onDegraded?: (error: unknown) => void;
  /** Called once when the primary store answers again. */
  onRecovered?: () => void;
  /** Pause between looks at a failed primary, in milliseconds. Default 1 000, jittered by a fifth. */
  probeMs?: number;
}

/** A claim store that says whether it runs on its secondary. */
export interface FallbackClaims extends ClaimStore {
  readonly degraded: boolean;
}

/**
 * Uses `primary` while it answers, else `secondary`. No request fails because of the primary.
 *
 * The first failure opens a breaker: no request pays for a second one. While open, a probe runs every
 * `probeMs`; its success closes the breaker. Only for layers whose records are in a database: two
 * processes on their own memory can both claim a key, and then the database must decide.
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
        this.degrade(error);
      }
    }
    const result = await this.secondary.claim(claim, leaseMs);
    if (result.state === 'claimed') this.secondaryOwners.add(claim.owner);
    return result;
  }

  complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    return this.settle(claim, (store) => store.complete(claim, record, ttlMs));
  }

  release(claim: Claim): Promise<boolean> {
    return this.settle(claim, (store) => store.release(claim));
  }

  async renew(claims: readonly Claim[], leaseMs: number): Promise<boolean[]> {
    const second = claims.filter((claim) => this.secondaryOwners.has(claim.owner));
    if (second.length > 0) await this.secondary.renew(second, leaseMs);
    const first = claims.filter((claim) => !this.secondaryOwners.has(claim.owner));
    const renewed = await this.onPrimary((store) => store.renew(first, leaseMs), []);
    const lost = new Set(first.filter((_, i) => renewed[i] === false).map((claim) => claim.owner));
    return claims.map((claim) => !lost.has(claim.owner));
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    const known = await this.onPrimary((store) => store.peek(scope, key), undefined);
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
  private async settle(
    claim: Claim,
    change: (store: ClaimStore) => Promise<boolean>,
  ): Promise<boolean> {
    const granted = this.secondaryOwners.size > 0 && this.secondaryOwners.delete(claim.owner);
    const second = granted ? change(this.secondary) : false;
    const first = await this.onPrimary(change, false);
    return (await second) || first;
  }

  private async onPrimary<T>(use: (store: ClaimStore) => Promise<T>, otherwise: T): Promise<T> {
    if (this.degraded) return otherwise;
    try {
      return await use(this.primary);
    } catch (error) {
      this.degrade(error);
      return otherwise;
    }
  }

  private degrade(error: unknown): void {
    if (this.degraded || this.closed) return;
    this.degraded = true;
    this.options.onDegraded?.(error);
    this.scheduleProbe();
  }

  private scheduleProbe(): void {
    const delay = this.probeMs * (0.9 + Math.random() / 5);
    this.probe = setTimeout(() => this.look(), delay).unref();
  }

  private async look(): Promise<void> {
    try {
      await this.primary.ping();
    } catch {
      if (!this.closed) this.scheduleProbe();
      return;
    }
    if (this.closed) return;
    this.degraded = false;
    this.options.onRecovered?.();
  }
}
