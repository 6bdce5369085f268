import type { Answer, IdempotencyRecord } from './answer.ts';
import { AnswerCache } from './answer-cache.ts';
import type { Claim, ClaimStore } from './claims/claim-store.ts';
import { ClaimsUnavailable, KeyReused, RequestInFlight } from './errors.ts';
import { Flight } from './flight.ts';
import { keyId } from './key-id.ts';
import { newOwner } from './owner.ts';
import { waitElsewhere } from './wait-elsewhere.ts';

export interface IdempotencyOptions {
  claims: ClaimStore;
  /** Look-up of committed records. Default: none, the claim store is the only memory. */
  records?: { find(scope: string, key: string): Promise<IdempotencyRecord | undefined> };
  /**
   * Length of a claim in milliseconds, renewed at a third of it while `run` runs. Default 10 000: how
   * long a retry may wait after a crash. Too short is worse: a paused owner loses its claim.
   */
  leaseMs?: number;
  /** How long a duplicate waits for the first answer, in milliseconds. Default 2 000; 0 = 409 at once. */
  waitMs?: number;
  /**
   * How long the claim store keeps an answer, in milliseconds. Default 600 000: most retries come
   * within minutes, and the database keeps the record for its whole retention.
   */
  answerCacheMs?: number;
  /** Bytes of answers kept in this process. Default 32 MiB; 0 turns that cache off. */
  recentBytesMax?: number;
  /** Told of claim store failures that no request was failed for. */
  onClaimError?: (error: unknown) => void;
}

export interface KeyedRequest {
  scope: string;
  key: string;
  fingerprint: string;
}

/** What `run` is given about its claim. */
export interface RunClaim {
  readonly claim: Claim;
  /** Aborted when the claim was lost to another owner. */
  readonly signal: AbortSignal;
}

export type RunResult =
  /** `replayed`: the database already held this key, and the record is the one it held. */
  { record: IdempotencyRecord; replayed: boolean } | { unrecorded: Answer };

export interface ExecuteResult {
  answer: Answer;
  replayed: boolean;
}

export type KeyState = 'in-flight' | { completed: IdempotencyRecord } | undefined;

/**
 * The idempotency layer: one execution per scope and key, its answer for every repeat.
 *
 * A request goes free → claimed → run → recorded. Duplicates meet, in this order: the flight of
 * this process, its recent answers, the claim store, the records. Only the record that `run`
 * commits with its effect carries correctness; everything before it saves work.
 */
export function createIdempotency(options: IdempotencyOptions): Idempotency {
  return new Idempotency(options);
}

export class Idempotency {
  private readonly claims: ClaimStore;
  private readonly records: IdempotencyOptions['records'];
  private readonly leaseMs: number;
  private readonly waitMs: number;
  private readonly answerCacheMs: number;
  private readonly onClaimError: (error: unknown) => void;
  private readonly recent: AnswerCache;
  private readonly flights = new Map<string, Flight>();
  private renewal: NodeJS.Timeout | undefined;

  constructor(options: IdempotencyOptions) {
    this.claims = options.claims;
    this.records = options.records;
    this.leaseMs = options.leaseMs ?? 10_000;
    this.waitMs = options.waitMs ?? 2_000;
    this.answerCacheMs = options.answerCacheMs ?? 600_000;
    this.onClaimError = options.onClaimError ?? (() => {});
    this.recent = new AnswerCache(options.recentBytesMax ?? 32 * 1024 * 1024);
  }

  /**
   * Runs a request once, or answers it from memory.
   *
   * A duplicate of a request that ended without a record runs itself, like any retry.
   * @throws KeyReused when the key belongs to another request
   * @throws RequestInFlight when the first is still running after `waitMs`
   * @throws ClaimsUnavailable when the claim store failed; nothing was run
   */
  async execute(
    request: KeyedRequest,
    run: (claim: RunClaim) => Promise<RunResult>,
  ): Promise<ExecuteResult> {
    const id = keyId(request.scope, request.key);
    let deadline = 0;
    for (let flight = this.flights.get(id); flight; flight = this.flights.get(id)) {
      if (flight.claim.fingerprint !== request.fingerprint) throw new KeyReused();
      const now = performance.now();
      if (deadline === 0) deadline = now + this.waitMs;
      else if (now >= deadline) throw this.inFlight();
      const record = await flight.join(deadline - now, () => this.inFlight());
      if (record) return replay(record, request);
    }
    const known = this.recent.get(id);
    if (known) return replay(known, request);
    return this.fly(id, request, run);
  }

  /** What became of a key: `in-flight`, its record, or undefined when it had no effect. */
  async state(scope: string, key: string): Promise<KeyState> {
    const id = keyId(scope, key);
    const recent = this.recent.get(id);
    if (recent) return { completed: recent };
    const claimed = await this.claims.peek(scope, key).catch(this.onClaimError);
    if (claimed?.state === 'completed') return { completed: claimed.record };
    // Also while claimed: its owner may have committed and crashed.
    const record = await this.records?.find(scope, key);
    if (record) return { completed: record };
    return claimed || this.flights.has(id) ? 'in-flight' : undefined;
  }

  /** Stops renewing and releases the claims of requests that still run. */
  async close(): Promise<void> {
    clearInterval(this.renewal);
    const open = [...this.flights.values()].filter((flight) => flight.heldSince > 0);
    await Promise.all(open.map(({ claim }) => this.claims.release(claim).catch(this.onClaimError)));
  }

  private async fly(
    id: string,
    request: KeyedRequest,
    run: (claim: RunClaim) => Promise<RunResult>,
  ): Promise<ExecuteResult> {
    const { scope, key, fingerprint } = request;
    const flight = new Flight({ scope, key, fingerprint, owner: newOwner() });
    this.flights.set(id, flight);
    this.renewal ??= setInterval(() => this.renew(), this.leaseMs / 3).unref();
    let landed: IdempotencyRecord | undefined;
    try {
      const known = await this.claimOrFind(flight.claim, request);
      if (known) {
        landed = known;
        this.recent.set(id, known, this.answerCacheMs);
        return { answer: known.answer, replayed: true };
      }
      flight.heldSince = performance.now();
      const result = await run(flight);
      if ('unrecorded' in result) {
        this.release(flight);
        return { answer: result.unrecorded, replayed: false };
      }
      const { record, replayed } = result;
      this.complete(flight, record);
      this.recent.set(id, record, this.answerCacheMs);
      landed = record;
      if (replayed) return replay(record, request);
      return { answer: record.answer, replayed: false };
    } catch (error) {
      if (flight.heldSince > 0 && !landed) this.release(flight);
      throw error;
    } finally {
      this.flights.delete(id);
      flight.land(landed);
    }
  }

  /** @returns undefined once claimed, else the record that someone completed */
  private async claimOrFind(
    claim: Claim,
    request: KeyedRequest,
  ): Promise<IdempotencyRecord | undefined> {
    let result: Awaited<ReturnType<ClaimStore['claim']>>;
    try {
      result = await this.claims.claim(claim, this.leaseMs);
    } catch (error) {
      throw new ClaimsUnavailable(error);
    }
    if (result.state === 'claimed') return undefined;
    if (result.state === 'completed') {
      if (result.record.fingerprint !== request.fingerprint) throw new KeyReused();
      return result.record;
    }
    const { claims, records, leaseMs, waitMs } = this;
    return waitElsewhere({ claims, records, leaseMs, waitMs, claim, first: result });
  }

  // Not awaited: the answer is already committed, and a lost completion only costs a look-up later.
  private complete(flight: Flight, record: IdempotencyRecord): void {
    const left = (record.expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
    const ttlMs = Math.min(this.answerCacheMs, left);
    if (ttlMs < 1) this.release(flight);
    else this.completed(flight, record, ttlMs).catch(this.onClaimError);
  }

  // Async, so that a store that throws at once cannot fail a request whose effect is committed.
  private async completed(flight: Flight, record: IdempotencyRecord, ttlMs: number): Promise<void> {
    await this.claims.complete(flight.claim, record, ttlMs);
  }

  private release(flight: Flight): void {
    this.claims.release(flight.claim).catch(this.onClaimError);
  }

  /** One timer for all claims; a request that ends within a third of the lease never meets it. */
  private renew(): void {
    const now = performance.now();
    const due: Flight[] = [];
    for (const flight of this.flights.values()) {
      if (flight.heldSince > 0 && now - flight.heldSince >= this.leaseMs / 3) due.push(flight);
    }
    if (due.length === 0) return;
    const claims = due.map((flight) => flight.claim);
    this.claims.renew(claims, this.leaseMs).then((held) => {
      due.forEach((flight, i) => {
        if (held[i]) flight.heldSince = now;
        else flight.lose();
      });
    }, this.onClaimError);
  }

  private inFlight(): RequestInFlight {
    return new RequestInFlight(1);
  }
}

function replay(record: IdempotencyRecord, request: KeyedRequest): ExecuteResult {
  if (record.fingerprint !== request.fingerprint) throw new KeyReused();
  return { answer: record.answer, replayed: true };
}
