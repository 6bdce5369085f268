import type { IdempotencyRecord } from '../answer.ts';
import type { Claim, ClaimResult, ClaimStore } from '../claims/claim-store.ts';
import { partialRenewal } from '../claims/partial-renewal.ts';
import { RedisAnswers } from './answers.ts';
import { isDisconnection, isWriteRefusal, isWrongType, RedisCalls } from './calls.ts';
import { Coalescer, chunksOf, fewMax } from './coalescer.ts';
import type { RedisConnection } from './connection.ts';
import { DoubtfulClaims } from './doubtful-claims.ts';
import { type IoRedisClient, ioRedis } from './ioredis.ts';
import { type NodeRedisClient, type NodeRedisCluster, nodeRedis } from './node-redis.ts';
import {
  claimScript,
  discardScript,
  peekScript,
  releaseScript,
  renewScript,
  settleScript,
} from './scripts.ts';
import { decodeClaim, decodeRecord, encodeClaim, isRecord, UnreadableAnswer } from './value.ts';

export interface RedisClaimsOptions {
  /** First part of every key: `prefix:{scope}:key`. Default `idempotency`. */
  prefix?: string;
  /**
   * Longest wait for a reply of Redis, in milliseconds. Default 500: a usual reply takes one, a
   * stall of a busy machine a few hundred, and clients wait longer than that. Beyond it the call
   * fails and counts as unanswered.
   */
  commandTimeoutMs?: number;
}

interface ClaimEntry extends Claim {
  value: string;
  leaseMs: number;
}

/**
 * Claims in Redis ≥ 7 (or Valkey), over a connected client of node-redis or ioredis, each of one
 * server or of a cluster, or over any {@link RedisConnection}.
 *
 * Give the client a `socketTimeout` or `pingInterval`: a connection that died without a word looks
 * slow. What arrives within one tick shares a round trip: as one script call per scope, or, where
 * the connection has `command`, up to 16 claims of free keys as commands of their own, which cost
 * Redis half as much, the first 16 of a tick at once. A claim is 93 bytes and stays until its lease
 * ends, also when its record is committed; an answer is 76 bytes and itself. Errors reject, after
 * `commandTimeoutMs` at the latest: once more where the key was held, and once more where a lost
 * connection was retried.
 */
export function redisClaims(
  client: NodeRedisClient | NodeRedisCluster | IoRedisClient | RedisConnection,
  options: RedisClaimsOptions = {},
): ClaimStore {
  return new RedisClaims(connect(client), options);
}

function connect(
  client: NodeRedisClient | NodeRedisCluster | IoRedisClient | RedisConnection,
): RedisConnection {
  if ('evaluate' in client) return client;
  return 'callBuffer' in client ? ioRedis(client) : nodeRedis(client);
}

class RedisClaims implements ClaimStore {
  private readonly calls: RedisCalls;
  private readonly answers: RedisAnswers;
  private readonly releases: Coalescer<Claim>;
  private readonly claims: Coalescer<ClaimEntry>;
  private readonly held: Coalescer<ClaimEntry>;
  private readonly retries: Coalescer<ClaimEntry>;
  private readonly doubtful = new DoubtfulClaims();
  private scheduled = false;
  /** Claims of this tick that were sent without waiting for its end. */
  private sent = 0;
  /** Whether a lost answer is a request that runs again, for no record would decide. */
  private onlyMemory = false;

  constructor(connection: RedisConnection, options: RedisClaimsOptions) {
    const { prefix = 'idempotency', commandTimeoutMs = 500 } = options;
    this.calls = new RedisCalls(connection, prefix, commandTimeoutMs);
    const schedule = () => this.schedule();
    this.answers = new RedisAnswers(this.calls, schedule);
    this.releases = new Coalescer((items) => this.sendReleases(items), schedule);
    // One call has one lease for all.
    const fits = (first: ClaimEntry, item: ClaimEntry) => first.leaseMs === item.leaseMs;
    const claim = (items: readonly ClaimEntry[]) => this.sendClaims(items);
    this.claims = new Coalescer(claim, schedule, {
      fits,
      // Async, for what throws at once: nobody stands above the tick that flushes.
      one: this.calls.hasCommands ? async (item) => this.claimOne(item) : undefined,
    });
    this.held = new Coalescer(claim, schedule, { fits });
    this.retries = new Coalescer((items) => this.sendRetries(items), schedule, { fits });
  }

  keepUntilExpiry(): void {
    this.onlyMemory = true;
  }

  async claim(claim: Claim, leaseMs: number): Promise<ClaimResult> {
    if (this.doubtful.size > 0) this.settleDoubtful(claim);
    const { scope, key, fingerprint, owner } = claim;
    // Encoded here, so that a claim that cannot be made fails alone.
    const entry = { scope, key, fingerprint, owner, value: encodeClaim(claim), leaseMs };
    let reply: unknown;
    try {
      reply = await this.send(entry);
      // From a command. The script knows what to do with it, and marks that someone waits.
      if (Buffer.isBuffer(reply) && !isRecord(reply)) reply = await this.held.add(entry);
    } catch (error) {
      reply = await this.askAgain(entry, error).catch((failure: unknown) => {
        this.doubtful.add(claim, leaseMs);
        throw failure;
      });
    }
    if (reply === null) return { state: 'claimed' };
    const held = this.read(reply);
    if (held) return held;
    await this.discard(claim, reply);
    reply = await this.held.add(entry);
    const next = reply === null ? ({ state: 'claimed' } as const) : this.read(reply);
    if (!next) throw new Error('Redis keeps returning a value that cannot be read.');
    return next;
  }

  async complete(claim: Claim, record: IdempotencyRecord, ttlMs: number): Promise<boolean> {
    this.forget(claim);
    return this.answers.complete(claim, record, ttlMs);
  }

  async settle(claims: readonly Claim[]): Promise<void> {
    const scopes = [...Map.groupBy(claims, ({ scope }) => scope).values()];
    const chunks = scopes.flatMap((of) =>
      [...chunksOf(of, {})].map(([at, end]) => of.slice(at, end)),
    );
    // Async, for what throws at once: no other chunk is left without somebody who hears of it.
    await Promise.all(chunks.map(async (chunk) => this.calls.script(settleScript, chunk, [])));
  }

  async release(claim: Claim): Promise<boolean> {
    this.forget(claim);
    return (await this.releases.add(claim)) === 1;
  }

  async renew(claims: readonly Claim[], leaseMs: number): Promise<(boolean | undefined)[]> {
    const renewals = new Coalescer<Claim>(
      (items) => {
        const owners = items.map((claim) => claim.owner);
        return this.calls.script(renewScript, items, [String(leaseMs), ...owners]);
      },
      () => {},
    );
    const replies = claims.map(async (claim) => (await renewals.add(claim)) === 1);
    renewals.flush();
    return partialRenewal(replies);
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    const reply = await this.calls.script(peekScript, [{ scope, key }], []);
    if (!Array.isArray(reply)) return undefined;
    return this.read(reply) ?? this.read(reply[0]);
  }

  async watch(scope: string, key: string, wake: () => void): Promise<() => void> {
    const { calls } = this;
    const { connection } = calls;
    const channel = calls.keyOf({ scope, key });
    const subscribed = connection.subscribe(channel, wake);
    const stop = () => {
      subscribed.then(() => connection.unsubscribe(channel, wake)).catch(() => {});
    };
    await calls.bound(subscribed).catch((error) => {
      stop();
      throw error;
    });
    return stop;
  }

  ping(): Promise<void> {
    return this.calls.ping();
  }

  async close(): Promise<void> {
    this.flush();
    // A script that Redis does not know is sent again, and the caller closes its client next.
    await this.calls.drained();
    await this.calls.connection.close();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    // After the poll phase: every request that was readable in this tick has claimed by then.
    setImmediate(() => this.flush());
  }

  /** In this order, so that what a tick frees can be claimed in the same tick. */
  private flush(): void {
    this.scheduled = false;
    this.sent = 0;
    this.answers.flush();
    this.releases.flush();
    this.claims.flush();
    this.held.flush();
    this.retries.flush();
  }

  /**
   * The first claims of a tick at once: the client then writes in this tick, and what the tick
   * gathers goes along. Gathered alone it waits for the next, for the client gathers as well. But
   * nothing overtakes a release, which may be of the same key.
   */
  private send(entry: ClaimEntry): Promise<unknown> {
    if (!this.calls.hasCommands || this.sent === fewMax || this.releases.size > 0) {
      return this.claims.add(entry);
    }
    this.schedule();
    this.sent += 1;
    return this.claimOne(entry);
  }

  /** @returns null = claimed, else what the key holds */
  private claimOne(entry: ClaimEntry): Promise<unknown> {
    const { value, leaseMs } = entry;
    const key = this.calls.keyOf(entry);
    return this.calls.command(['SET', key, value, 'NX', 'GET', 'PX', String(leaseMs)]);
  }

  /** A lost connection leaves open whether the claim was made; the same owner may ask again. */
  private async askAgain(entry: ClaimEntry, error: unknown): Promise<unknown> {
    if (!this.calls.connection.ready && isDisconnection(error)) return this.retries.add(entry);
    if (isWrongType(error)) return this.held.add(entry);
    if (isWriteRefusal(error)) return this.keptAnswer(entry, error);
    throw error;
  }

  /** A server that is full, or became a replica, still has the answers of repeats. */
  private async keptAnswer(entry: ClaimEntry, refusal: unknown): Promise<Buffer> {
    const reply = await this.calls.script(peekScript, [entry], []);
    const value: unknown = Array.isArray(reply) ? reply[0] : undefined;
    if (Buffer.isBuffer(value) && isRecord(value)) return value;
    throw refusal;
  }

  private sendClaims(items: readonly ClaimEntry[]): Promise<unknown> {
    return this.calls.script(claimScript, items, claimArgs(items));
  }

  private sendRetries(items: readonly ClaimEntry[]): Promise<unknown> {
    return this.calls.patientScript(claimScript, items, claimArgs(items));
  }

  private sendReleases(items: readonly Claim[]): Promise<unknown> {
    const owners = items.map((claim) => claim.owner);
    return this.calls.script(releaseScript, items, owners);
  }

  /**
   * Deletes an answer that cannot be read: the key is ours by name, and the record decides.
   *
   * @throws where there is no record, and running the request again could repeat its effect
   */
  private async discard(claim: Claim, reply: unknown): Promise<void> {
    // A claim of ours is told by its length, so what cannot be read is an answer.
    if (!Buffer.isBuffer(reply)) {
      throw new TypeError('A RedisConnection must return bulk strings as Buffers.');
    }
    if (this.onlyMemory) throw new UnreadableAnswer();
    await this.calls.script(discardScript, [claim], [reply]);
  }

  /** Frees what an unanswered claim on this key may hold; sent ahead of the claim that follows. */
  private settleDoubtful(claim: Claim): void {
    const stale = this.doubtful.take(claim.scope, claim.key);
    if (stale && stale.owner !== claim.owner) this.releases.add(stale).catch(() => {});
  }

  private forget(claim: Claim): void {
    if (this.doubtful.size > 0) this.doubtful.take(claim.scope, claim.key);
  }

  /** @returns undefined for what is no claim and no answer */
  private read(reply: unknown): ClaimResult | undefined {
    if (Buffer.isBuffer(reply)) {
      const record = decodeRecord(reply);
      return record && { state: 'completed', record };
    }
    const [value, leaseMs] = reply as [Buffer, number];
    const fingerprint = Buffer.isBuffer(value) ? decodeClaim(value) : undefined;
    return fingerprint === undefined ? undefined : { state: 'in-flight', fingerprint, leaseMs };
  }
}

function claimArgs(items: readonly ClaimEntry[]): string[] {
  const args = [String(items[0]?.leaseMs)];
  for (const item of items) args.push(item.value);
  return args;
}
