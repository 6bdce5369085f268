import type { Answer, IdempotencyRecord } from './answer.ts';
import {
  type Claim,
  type ClaimResult,
  type ClaimStore,
  settleClaims,
} from './claims/claim-store.ts';
import { committedRecord, type Records, sameRequest } from './committed.ts';
import { ClaimsUnavailable, RequestInFlight } from './errors.ts';
import { Flight } from './flight.ts';
import { keepAnswer } from './keep-answer.ts';
import { keyId } from './key-id.ts';
import { newOwner } from './owner.ts';
import { RecentAnswers } from './recent-answers.ts';
import { Renewal } from './renewal.ts';
import { tell } from './tell.ts';
import { waitElsewhere } from './wait-elsewhere.ts';

export interface IdempotencyOptions {
  claims: ClaimStore;
  /**
   * Look-up of committed records. Default: none, the claim store is the only memory: an answer is
   * in the store before it is given, stays for `retentionMs`, and what the store loses runs again.
   */
  records?: Records;
  /**
   * Length of a claim in milliseconds, renewed at a third of it while `run` runs. Default 10 000:
   * how long a retry may wait after a crash. Too short is worse: a paused owner loses its claim.
   */
  leaseMs?: number;
  /**
   * How long a duplicate waits for the first answer, in milliseconds, wherever that runs. Default
   * 2 000; 0 = 409 at once.
   */
  waitMs?: number;
  /**
   * How long this process keeps an answer, in milliseconds. Default 600 000: most retries come
   * within minutes, and the database or the claim store keeps it for its whole retention.
   */
  answerCacheMs?: number;
  /**
   * Without `records` only: how long the claim store keeps an answer, in milliseconds. Default
   * 86 400 000 (24 h).
   */
  retentionMs?: number;
  /**
   * Bytes of answers kept in this process. Where there are records, of those that were asked for
   * again: most never are, and the records have them. Without records half of it, 256 MiB at most,
   * is for first answers. Default 32 MiB; 0 keeps none.
   */
  recentBytesMax?: number;
  /**
   * Told of claim store failures that no request was failed for. Without `records` that may be an
   * answer that could not be kept: it was given, and a repeat after the lease would run again. What
   * it throws, or rejects with, becomes a warning of the process.
   */
  onClaimError?: (error: unknown) => void;
}

export interface KeyedRequest {
  scope: string;
  key: string;
  /** 64 lower-case hexadecimal digits, as `fingerprint()` and `rawFingerprint()` give them. */
  fingerprint: string;
}

const fingerprintForm = /^[0-9a-f]{64}$/;

/** What `run` is given about its claim. */
export interface RunClaim {
  readonly claim: Claim;
  /**
   * Aborted when the claim was lost to another owner, or its lease ended because the store could
   * not renew it: another process may be running this request by now. The record still decides.
   */
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
  /** How long an answer is kept by a claim store without records. */
  private readonly storeMs: number;
  private readonly onClaimError: (error: unknown) => void;
  private readonly recent: RecentAnswers;
  private readonly flights = new Map<string, Flight>();
  /** Claims that the claim store is told of at the end of this turn of the event loop. */
  private committed: Claim[] = [];
  private readonly renewal: Renewal;

  constructor(options: IdempotencyOptions) {
    this.claims = options.claims;
    this.records = options.records;
    this.leaseMs = options.leaseMs ?? 10_000;
    this.waitMs = options.waitMs ?? 2_000;
    const cacheMs = options.answerCacheMs ?? 600_000;
    this.storeMs = options.retentionMs ?? 86_400_000;
    this.onClaimError = (error) => void tell(() => options.onClaimError?.(error));
    this.recent = new RecentAnswers({
      bytesMax: options.recentBytesMax ?? 32 * 1024 * 1024,
      ttlMs: this.records ? cacheMs : Math.min(cacheMs, this.storeMs),
      first: !this.records,
    });
    this.renewal = new Renewal({
      claims: this.claims,
      leaseMs: this.leaseMs,
      flights: () => this.flights.values(),
      onError: this.onClaimError,
    });
    if (!this.records) this.claims.keepUntilExpiry?.();
  }

  /**
   * Runs a request once, or answers it from memory.
   *
   * A duplicate of a request that ended without a record runs itself, like any retry. So does a
   * repeat once the claim store has forgotten its key: with records `run` must find the key's
   * record then, at the latest by the unique key it violates, and give it back as `replayed`.
   * @throws KeyReused when the key belongs to another request: by its record, and while there is
   * none, by what is in flight
   * @throws RequestInFlight when the first is still running after `waitMs`
   * @throws ClaimsUnavailable when the claim store failed; nothing was run
   * @throws TypeError when `key` is no string, or `fingerprint` has another form: stored, it would
   * shift what follows it
   */
  execute(
    request: KeyedRequest,
    run: (claim: RunClaim) => Promise<RunResult>,
  ): Promise<ExecuteResult> {
    if (!fingerprintForm.test(request.fingerprint)) {
      const message = '`fingerprint` must have 64 lower-case hexadecimal digits.';
      return Promise.reject(new TypeError(message));
    }
    if (typeof request.key !== 'string') {
      return Promise.reject(new TypeError('`key` must be a string.'));
    }
    const id = keyId(request.scope, request.key);
    return this.flights.has(id)
      ? this.join(id, request, run)
      : (this.recall(id, request) ?? this.fly(id, request, run, 0));
  }

  /** What became of a key: `in-flight`, its record, or undefined when it had no effect. */
  async state(scope: string, key: string): Promise<KeyState> {
    const id = keyId(scope, key);
    const recent = this.recent.get(id);
    if (recent) return { completed: recent };
    const claimed = await this.claims.peek(scope, key).catch(this.onClaimError);
    if (claimed?.state === 'completed') return { completed: claimed.record };
    // Also while claimed: its owner may have committed and crashed.
    const isClaimed = claimed !== undefined || this.flights.has(id);
    const record = await this.lookUp(scope, key, isClaimed);
    if (record === 'pending') return 'in-flight';
    if (record) return { completed: record };
    return isClaimed ? 'in-flight' : undefined;
  }

  private lookUp(scope: string, key: string, isClaimed: boolean) {
    const { records } = this;
    // A request that is known to run needs no closer look.
    if (!records?.lookUp || isClaimed) return records?.find(scope, key);
    return records.lookUp(scope, key);
  }

  /**
   * Stops renewing claims. Call it when no more requests come.
   *
   * With records the claims of requests that still run are released: a retry elsewhere may run at
   * once, and the record decides. Without, such a retry would run twice: requests are waited for,
   * up to `leaseMs`; the signal of what runs even longer is aborted, and its claim left to its
   * lease.
   */
  async close(): Promise<void> {
    if (!this.records) {
      const late = () => new Error('still running');
      const open = [...this.flights.values()].map((flight) => flight.join(this.leaseMs, late));
      await Promise.allSettled(open);
    }
    this.renewal.stop();
    await this.settleGathered();
    const running = [...this.flights.values()].filter((flight) => flight.holds);
    if (this.records) await Promise.all(running.map((flight) => this.release(flight)));
    else for (const flight of running) flight.lose();
  }

  /**
   * Decides about another request that flies here under the same key.
   *
   * A flight that does not hold its claim yet may be the one that is refused, so the store is asked
   * whose the claim is.
   * @returns undefined when that flight must end first: this request is in flight elsewhere
   * @throws KeyReused, ClaimsUnavailable
   */
  private async decideReuse(
    flight: Flight,
    request: KeyedRequest,
  ): Promise<IdempotencyRecord | undefined> {
    if (flight.heldSince === 0) {
      const held = await this.claims.peek(request.scope, request.key).catch((error: unknown) => {
        throw new ClaimsUnavailable(error);
      });
      if (held?.state === 'completed') return held.record;
      const same = held?.state === 'in-flight' && held.fingerprint === request.fingerprint;
      if (same) return undefined;
    }
    return committedRecord(this.records, request);
  }

  /** Waits for what flies under the key, and flies itself when that ended without an answer. */
  private async join(
    id: string,
    request: KeyedRequest,
    run: (claim: RunClaim) => Promise<RunResult>,
  ): Promise<ExecuteResult> {
    let deadline = 0;
    for (let flight = this.flights.get(id); flight; flight = this.flights.get(id)) {
      const other = flight.claim.fingerprint !== request.fingerprint;
      const known = other ? await this.decideReuse(flight, request) : undefined;
      if (known) return replay(known, request);
      const now = performance.now();
      if (deadline === 0) deadline = now + this.waitMs;
      else if (now >= deadline) throw this.inFlight();
      const record = await flight.join(deadline - now, () => this.inFlight());
      if (record) return replay(record, request);
    }
    return this.recall(id, request) ?? this.fly(id, request, run, deadline);
  }

  private recall(id: string, request: KeyedRequest): Promise<ExecuteResult> | undefined {
    const known = this.recent.get(id);
    return known && Promise.resolve(known).then((record) => replay(record, request));
  }

  /** @param deadline when waiting ends, in `performance.now()` milliseconds; 0 before it began */
  private async fly(
    id: string,
    request: KeyedRequest,
    run: (claim: RunClaim) => Promise<RunResult>,
    deadline: number,
  ): Promise<ExecuteResult> {
    const { scope, key, fingerprint } = request;
    const flight = new Flight({ scope, key, fingerprint, owner: newOwner() });
    this.flights.set(id, flight);
    this.renewal.start();
    let landed: IdempotencyRecord | undefined;
    try {
      const claimed = await this.ask(flight);
      if (claimed.state !== 'claimed') {
        landed = await this.find(flight, claimed, deadline);
        if (landed) {
          this.recent.replayed(id, landed);
          return { answer: landed.answer, replayed: true };
        }
      }
      flight.hold();
      const result = await run(flight);
      if ('unrecorded' in result) {
        this.release(flight);
        return { answer: result.unrecorded, replayed: false };
      }
      const { record, replayed } = result;
      if (this.records) this.settle(flight, record);
      else await this.store(flight, record);
      // With records a first answer is in them, should it be asked for again. Without, what the
      // store loses is remembered here alone, also where `failOpen` would run it again.
      if (replayed) this.recent.replayed(id, record);
      else this.recent.given(id, record);
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

  /** @throws ClaimsUnavailable */
  private async ask(flight: Flight): Promise<ClaimResult> {
    try {
      return await flight.ask(this.claims, this.leaseMs);
    } catch (error) {
      throw new ClaimsUnavailable(error);
    }
  }

  /** @returns undefined once claimed after all, else the record that someone completed */
  private async find(
    flight: Flight,
    first: Exclude<ClaimResult, { state: 'claimed' }>,
    deadline: number,
  ): Promise<IdempotencyRecord | undefined> {
    if (first.state === 'completed') return sameRequest(first.record, flight.claim);
    const { claims, records, leaseMs, waitMs } = this;
    const until = deadline || performance.now() + waitMs;
    return waitElsewhere({ claims, records, leaseMs, deadline: until, flight, first });
  }

  /** Puts an answer that has no record into the claim store. */
  private async store(flight: Flight, record: IdempotencyRecord): Promise<void> {
    const { claims, leaseMs } = this;
    const ttlMs = Math.min(this.storeMs, lifetimeOf(record));
    if (ttlMs < 1) {
      this.release(flight);
      return;
    }
    try {
      await keepAnswer(flight, record, { claims, leaseMs, ttlMs });
    } catch (error) {
      this.onClaimError(error);
    }
  }

  /**
   * Tells the claim store of a committed record, with what else this turn of the event loop brings:
   * what was committed together goes together. Nobody here waits for it.
   */
  private settle(flight: Flight, record: IdempotencyRecord): void {
    // A claim that outlives its record would hold up who uses the key anew.
    if (!(lifetimeOf(record) >= this.leaseMs)) {
      this.release(flight);
      return;
    }
    if (this.committed.length === 0) setImmediate(() => this.settleGathered());
    this.committed.push(flight.claim);
  }

  // Async, so that a store that throws at once fails nobody: the effects are committed.
  private async settleGathered(): Promise<void> {
    const claims = this.committed;
    if (claims.length === 0) return;
    this.committed = [];
    try {
      await settleClaims(this.claims, claims);
    } catch (error) {
      this.onClaimError(error);
    }
  }

  // Async, so that a store that throws at once fails nobody.
  private async release(flight: Flight): Promise<void> {
    try {
      await this.claims.release(flight.claim);
    } catch (error) {
      this.onClaimError(error);
    }
  }

  private inFlight(): RequestInFlight {
    return new RequestInFlight(1);
  }
}

/** Milliseconds until a record expires. */
function lifetimeOf({ expiresAt }: IdempotencyRecord): number {
  return (expiresAt ?? Number.POSITIVE_INFINITY) - Date.now();
}

function replay(record: IdempotencyRecord, request: KeyedRequest): ExecuteResult {
  return { answer: sameRequest(record, request).answer, replayed: true };
}
