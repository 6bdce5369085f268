import type { IdempotencyRecord } from '../answer.ts';
import {
  type Claim,
  type ClaimResult,
  type ClaimStore,
  type CommittedAnswer,
  ownerLength,
} from '../claims/claim-store.ts';
import { Coalescer, chunksOf, fewMax } from './coalescer.ts';
import type { RedisArgument, RedisConnection } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import { DoubtfulClaims } from './doubtful-claims.ts';
import { type IoRedisClient, ioRedis } from './ioredis.ts';
import { type NodeRedisClient, type NodeRedisCluster, nodeRedis } from './node-redis.ts';
import {
  claimScript,
  completeScript,
  discardScript,
  keepScript,
  peekScript,
  releaseScript,
  renewScript,
  type Script,
} from './scripts.ts';
import {
  decodeClaim,
  decodeRecord,
  encodeClaim,
  encodeRecord,
  isRecord,
  isWaitedFor,
  UnreadableAnswer,
} from './value.ts';

export interface RedisClaimsOptions {
  /** First part of every key: `prefix:{scope}:key`. Default `idempotency`. */
  prefix?: string;
  /**
   * Longest wait for a reply of Redis, in milliseconds. Default 500: a usual reply takes one, a stall
   * of a busy machine a few hundred, and clients wait longer than that. Beyond it the call fails and
   * counts as unanswered.
   */
  commandTimeoutMs?: number;
}

interface ClaimEntry extends Claim {
  value: string;
  leaseMs: number;
}

/** An encoded answer. */
interface Kept {
  scope: string;
  key: string;
  value: Buffer;
  /** Whole milliseconds, as Redis counts them. */
  ttlMs: number;
}

interface Completion extends Kept {
  owner: string;
}

const bytes = (item: Kept) => item.value.length;

/**
 * Claims in Redis ≥ 7 (or Valkey), over a connected client of node-redis or ioredis, each of one
 * server or of a cluster, or over any {@link RedisConnection}.
 *
 * Give the client a `socketTimeout` or `pingInterval`: a connection that died without a word looks slow.
 * What arrives within one tick shares a round trip: as one script call per scope, or, where the
 * connection has `command`, up to 16 of a scope as commands of their own, which cost Redis half as much:
 * claims of free keys, the first 16 of a tick at once, and committed answers. A value costs 84 bytes plus the answer. Errors reject, after
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
  private readonly connection: RedisConnection;
  private readonly prefix: string;
  private readonly timeoutMs: number;
  private readonly deadlines: Deadlines;
  private readonly completions: Coalescer<Completion>;
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
    this.connection = connection;
    this.prefix = options.prefix ?? 'idempotency';
    this.timeoutMs = options.commandTimeoutMs ?? 500;
    this.deadlines = new Deadlines(this.timeoutMs);
    const schedule = () => this.schedule();
    const native = connection.command !== undefined;
    this.completions = new Coalescer<Completion>((items) => this.sendCompletions(items), schedule, {
      bytes,
      // One call has one time to live for all.
      fits: (first, item) => first.ttlMs === item.ttlMs,
    });
    this.releases = new Coalescer((items) => this.sendReleases(items), schedule);
    // One call has one lease for all.
    const fits = (first: ClaimEntry, item: ClaimEntry) => first.leaseMs === item.leaseMs;
    const claim = (items: readonly ClaimEntry[]) => this.sendClaims(items);
    this.claims = new Coalescer(claim, schedule, {
      fits,
      // Async, for what throws at once: nobody stands above the tick that flushes.
      one: native ? async (item) => this.claimOne(item) : undefined,
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
    const { owner } = claim;
    // Such an owner has no claim, and would shift those behind it.
    if (Buffer.byteLength(owner) !== ownerLength) return false;
    // Encoded here, so that a record that cannot be stored fails alone.
    const completion = { ...keptOf({ claim, record, ttlMs }), owner };
    return (await this.completions.add(completion)) === 1;
  }

  async keep(answers: readonly CommittedAnswer[]): Promise<void> {
    const calls: Promise<unknown>[] = [];
    const encoded: Kept[] = [];
    for (const answer of answers) {
      const { claim, record, ttlMs } = answer;
      // Where others rely on the store alone, nothing is put over a claim.
      if (this.onlyMemory) {
        calls.push(this.complete(claim, record, ttlMs));
        continue;
      }
      this.forget(claim);
      try {
        encoded.push(keptOf(answer));
      } catch (error) {
        // A record that cannot be stored fails alone.
        calls.push(Promise.reject(error));
      }
    }
    const scopes = Map.groupBy(encoded, ({ scope }) => scope);
    for (const kept of scopes.values()) calls.push(...this.sendKept(kept));
    await Promise.all(calls);
  }

  async release(claim: Claim): Promise<boolean> {
    this.forget(claim);
    return (await this.releases.add(claim)) === 1;
  }

  async renew(claims: readonly Claim[], leaseMs: number): Promise<boolean[]> {
    const renewals = new Coalescer<Claim>(
      (items) => {
        const owners = items.map((claim) => claim.owner);
        return this.call(renewScript, this.keysOf(items), [String(leaseMs), ...owners]);
      },
      () => {},
    );
    const replies = claims.map((claim) => renewals.add(claim));
    renewals.flush();
    return (await Promise.all(replies)).map((reply) => reply === 1);
  }

  async peek(scope: string, key: string): Promise<ClaimResult | undefined> {
    const reply = await this.call(peekScript, [this.keyOf({ scope, key })], []);
    if (!Array.isArray(reply)) return undefined;
    return this.read(reply) ?? this.read(reply[0]);
  }

  async watch(scope: string, key: string, wake: () => void): Promise<() => void> {
    const channel = this.keyOf({ scope, key });
    const subscribed = this.connection.subscribe(channel, wake);
    const stop = () => {
      subscribed.then(() => this.connection.unsubscribe(channel, wake)).catch(() => {});
    };
    await this.deadlines.bound(subscribed).catch((error) => {
      stop();
      throw error;
    });
    return stop;
  }

  async ping(): Promise<void> {
    if (!this.connection.ready) throw new Error('Redis is not connected.');
    await this.deadlines.bound(this.connection.ping());
  }

  async close(): Promise<void> {
    this.flush();
    // A script that Redis does not know is sent again, and the caller closes its client next.
    await this.deadlines.drained();
    await this.connection.close();
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
    this.completions.flush();
    this.releases.flush();
    this.claims.flush();
    this.held.flush();
    this.retries.flush();
  }

  /**
   * The first claims of a tick at once: the client then writes in this tick, and what the tick gathers
   * goes along. Gathered alone it waits for the next, for the client gathers as well. But nothing
   * overtakes a release, which may be of the same key.
   */
  private send(entry: ClaimEntry): Promise<unknown> {
    if (!this.connection.command || this.sent === fewMax || this.releases.size > 0) {
      return this.claims.add(entry);
    }
    this.schedule();
    this.sent += 1;
    return this.claimOne(entry);
  }

  /** @returns null = claimed, else what the key holds */
  private claimOne(entry: ClaimEntry): Promise<unknown> {
    const { value, leaseMs } = entry;
    return this.command(['SET', this.keyOf(entry), value, 'NX', 'GET', 'PX', String(leaseMs)]);
  }

  /** Also over the claims of other owners: the records are committed, and are what those will find. */
  private sendKept(items: readonly Kept[]): Promise<unknown>[] {
    if (this.connection.command && items.length <= fewMax) {
      return items.map((item) => this.keepOne(item));
    }
    const chunks = [...chunksOf(items, { bytes })];
    return chunks.map(([from, end]) => this.keepTogether(items.slice(from, end)));
  }

  // Async, so that what throws at once fails alone.
  private async keepTogether(items: readonly Kept[]): Promise<void> {
    // Times to live that end with records differ by milliseconds; what ends early is looked up.
    const ttlMs = items.reduce((least, item) => Math.min(least, item.ttlMs), Number.MAX_VALUE);
    await this.call(keepScript, this.keysOf(items), [`${ttlMs}`, joined(items)]);
  }

  private async keepOne(item: Kept): Promise<void> {
    const key = this.keyOf(item);
    let before: unknown;
    try {
      before = await this.command(['SET', key, item.value, 'GET', 'PX', String(item.ttlMs)]);
    } catch (error) {
      if (!isWrongType(error)) throw error;
    }
    if (isWaitedFor(before)) await this.command(['PUBLISH', key, '']);
  }

  /** A lost connection leaves open whether the claim was made; the same owner may ask again. */
  private async askAgain(entry: ClaimEntry, error: unknown): Promise<unknown> {
    if (!this.connection.ready && isDisconnection(error)) return this.retries.add(entry);
    if (isWrongType(error)) return this.held.add(entry);
    throw error;
  }

  private sendClaims(items: readonly ClaimEntry[]): Promise<unknown> {
    return this.call(claimScript, this.keysOf(items), claimArgs(items));
  }

  /** Waits for a new connection, but not longer than for an answer. */
  private sendRetries(items: readonly ClaimEntry[]): Promise<unknown> {
    const { connection, timeoutMs } = this;
    const [keys, args] = [this.keysOf(items), claimArgs(items)];
    return this.deadlines.bound(connection.evaluate(claimScript, keys, args, timeoutMs));
  }

  private sendCompletions(items: readonly Completion[]): Promise<unknown> {
    let owners = '';
    for (const { owner } of items) owners += owner;
    const args = [`${items[0]?.ttlMs}`, joined(items), owners];
    return this.call(completeScript, this.keysOf(items), args);
  }

  private sendReleases(items: readonly Claim[]): Promise<unknown> {
    return this.call(
      releaseScript,
      this.keysOf(items),
      items.map((claim) => claim.owner),
    );
  }

  private command(args: RedisArgument[]): Promise<unknown> {
    const { connection } = this;
    if (!connection.command || !connection.ready) return Promise.reject(notConnected());
    return this.deadlines.bound(connection.command(args));
  }

  private call(script: Script, keys: string[], args: RedisArgument[]): Promise<unknown> {
    // A client that is not connected would queue the command and send it when nobody waits for it.
    if (!this.connection.ready) return Promise.reject(notConnected());
    return this.deadlines.bound(this.connection.evaluate(script, keys, args));
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
    await this.call(discardScript, [this.keyOf(claim)], [reply]);
  }

  /** Frees what an unanswered claim on this key may hold; sent ahead of the claim that follows. */
  private settleDoubtful(claim: Claim): void {
    const stale = this.doubtful.take(claim.scope, claim.key);
    if (stale && stale.owner !== claim.owner) this.releases.add(stale).catch(() => {});
  }

  private forget(claim: Claim): void {
    if (this.doubtful.size > 0) this.doubtful.take(claim.scope, claim.key);
  }

  /** @returns undefined for what is no claim and no answer, or one that has expired */
  private read(reply: unknown): ClaimResult | undefined {
    if (Buffer.isBuffer(reply)) {
      const record = decodeRecord(reply);
      // `keep` may have come late, over a later answer. Where nothing else remembers there was none.
      const { expiresAt = Number.POSITIVE_INFINITY } = record ?? {};
      if (!record || (expiresAt <= Date.now() && !this.onlyMemory)) return undefined;
      return { state: 'completed', record };
    }
    const [value, leaseMs] = reply as [Buffer, number];
    const fingerprint = Buffer.isBuffer(value) ? decodeClaim(value) : undefined;
    return fingerprint === undefined ? undefined : { state: 'in-flight', fingerprint, leaseMs };
  }

  private keysOf(items: readonly { scope: string; key: string }[]): string[] {
    return items.map((item) => this.keyOf(item));
  }

  private keyOf({ scope, key }: { scope: string; key: string }): string {
    return `${this.prefix}:{${hashTag(scope)}}:${key}`;
  }
}

/** Braces would end the hash tag early and let two scopes share a key. */
function hashTag(scope: string): string {
  if (scope !== '' && !/[{}%]/.test(scope)) return scope;
  return `%${scope.replace(/[{}%]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`;
}

function isDisconnection(error: unknown): boolean {
  return (
    error instanceof Error && /clos|disconnect|ECONN|EPIPE/i.test(`${error.name} ${error.message}`)
  );
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

function claimArgs(items: readonly ClaimEntry[]): string[] {
  const args = [String(items[0]?.leaseMs)];
  for (const item of items) args.push(item.value);
  return args;
}

function notConnected(): Error {
  return new Error('Redis is not connected.');
}

function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE');
}
