import type { IdempotencyRecord } from '../answer.ts';
import type { Claim, ClaimResult, ClaimStore } from '../claims/claim-store.ts';
import { partialRenewal } from '../claims/partial-renewal.ts';
import { decodeRecord, encodeRecord, UnreadableAnswer } from '../redis/value.ts';
import {
  claimSql,
  discardSql,
  peekSql,
  purgeClaimsSql,
  releaseSql,
  settleSql,
} from './claim-statements.ts';
import { Gatherer } from './gatherer.ts';
import { type Query, rowsOf } from './query.ts';

/**
 * A claim store in PostgreSQL, with a purge to be called now and then: nothing else deletes rows.
 */
export interface PostgresClaims extends ClaimStore {
  /** Deletes up to `chunkSize` (default 1 000) lapsed rows. @returns how many */
  purge(chunkSize?: number): Promise<number>;
}

interface Row {
  fingerprint: string;
  answer: Uint8Array | null;
  lease_ms: number;
}

interface Settlement extends Claim {
  leaseMs: number;
  answer: Buffer | null;
}

/**
 * Claims in the table of `idempotency_claims.sql`, for services without Redis.
 *
 * What arrives within one tick is one statement. A waiting duplicate polls: no connection is held
 * for it. Errors of `query` reject; give it a pool with a statement timeout.
 *
 * `migrate` creates the table unlogged: a crash of PostgreSQL empties it. For a layer without
 * records, whose answers are nowhere else, run `ALTER TABLE idempotency_claims SET LOGGED` before
 * the first request; else requests that were answered before the crash run again.
 *
 * A stored answer that cannot be read, damaged or of a later version, is deleted and its key
 * claimed, since the record decides. For a layer without records a claim rejects with a clear error
 * instead until the answer expires, for the request would run twice.
 * @param query one statement on a connection of its own, outside the effect's transaction
 */
export function postgresClaims(query: Query): PostgresClaims {
  return new Store(query);
}

class Store implements PostgresClaims {
  private readonly query: Query;
  private readonly claims: Gatherer<Claim & { leaseMs: number }>;
  private readonly settlements: Gatherer<Settlement>;
  private readonly releases: Gatherer<Settlement>;
  /** Whether a lost answer is a request that runs again, for no record would decide. */
  private onlyMemory = false;

  constructor(query: Query) {
    this.query = query;
    this.claims = new Gatherer((items) =>
      query(claimSql, [
        ...columns(items),
        items.map((item) => item.fingerprint),
        items.map((item) => item.leaseMs),
      ]),
    );
    this.settlements = new Gatherer((items) => query(settleSql, settlementParams(items)));
    this.releases = new Gatherer((items) => query(releaseSql, settlementParams(items)));
  }

  keepUntilExpiry(): void {
    this.onlyMemory = true;
  }

  async claim(claim: Claim, leaseMs: number): Promise<ClaimResult> {
    const { scope, key, owner, fingerprint } = claim;
    // The row may lapse or be released between the two statements: then it is free, so ask again.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (await this.claims.add({ scope, key, owner, fingerprint, leaseMs })) {
        return { state: 'claimed' };
      }
      const row = await this.read(scope, key);
      const held = row && toResult(row);
      if (held) return held;
      if (row?.answer) await this.discard(scope, key, row.answer);
    }
    throw new Error('The claim changed hands three times while it was read.');
  }

  async complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    return this.settlements.add({ ...claim, leaseMs: ttlMs, answer: encodeRecord(record) });
  }

  release(claim: Claim): Promise<boolean> {
    return this.releases.add({ ...claim, leaseMs: 0, answer: null });
  }

  renew(claims: readonly Claim[], leaseMs: number): Promise<(boolean | undefined)[]> {
    const renewals = claims.map((claim) => ({ ...claim, leaseMs, answer: null }));
    return partialRenewal(renewals.map((renewal) => this.settlements.add(renewal)));
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    const row = await this.read(scope, key);
    return row && toResult(row);
  }

  async watch(): Promise<() => void> {
    return () => {};
  }

  async ping(): Promise<void> {
    await this.query('SELECT 1', []);
  }

  async close(): Promise<void> {}

  async purge(chunkSize = 1_000): Promise<number> {
    return rowsOf(await this.query(purgeClaimsSql, [chunkSize])).length;
  }

  private async read(scope: string, key: string): Promise<Row | undefined> {
    return rowsOf<Row>(await this.query(peekSql, [[scope], [key]]))[0];
  }

  private async discard(scope: string, key: string, answer: Uint8Array): Promise<void> {
    if (this.onlyMemory) throw new UnreadableAnswer();
    await this.query(discardSql, [scope, key, answer]);
  }
}

/** @returns undefined when the row has an answer that cannot be read */
function toResult(row: Row): ClaimResult | undefined {
  if (!row.answer) {
    return { state: 'in-flight', fingerprint: row.fingerprint, leaseMs: Number(row.lease_ms) };
  }
  const record = decodeRecord(Buffer.from(row.answer));
  return record && { state: 'completed', record };
}

function columns(items: readonly Claim[]): string[][] {
  return [
    items.map((item) => item.scope),
    items.map((item) => item.key),
    items.map((item) => item.owner),
  ];
}

function settlementParams(items: readonly Settlement[]): unknown[] {
  return [...columns(items), items.map((item) => item.leaseMs), items.map((item) => item.answer)];
}
