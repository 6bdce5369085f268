import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { RedisClientType } from 'redis';

/** Longer than any transaction takes, as the classic design has to hope. */
const leaseMs = 10_000;
/** A waiter gives up after this. */
const waitMs = 10_000;
/** Between two attempts while another process holds it, evenly spread. */
const retryMsMin = 2;
const retryMsMax = 10;

const RELEASE = `
-- Releases a lock that is still ours. KEYS[1] the lock, ARGV[1] our token. Returns 1, or 0 if lost.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

interface Held {
  readonly name: string;
  /** Lets the next of this process try. */
  readonly leave: () => void;
}

/**
 * The lock of the Redis documentation: SET NX PX, a token of one's own, release by script.
 *
 * Waiters of one process queue in it, and only the first asks Redis: a hundred that poll take so
 * much of the CPU that the holder is slowed down by those who wait for it.
 */
export class RedisLock {
  readonly #redis: RedisClientType;
  readonly #releaseSha: string;
  /** By name: resolved when its last waiter has left. */
  readonly #turns = new Map<string, Promise<void>>();

  private constructor(redis: RedisClientType, releaseSha: string) {
    this.#redis = redis;
    this.#releaseSha = releaseSha;
  }

  static async open(redis: RedisClientType): Promise<RedisLock> {
    return new RedisLock(redis, await redis.scriptLoad(RELEASE));
  }

  /** Holds all names while `work` runs. @param names sorted, so that two holders cannot deadlock */
  async hold<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    const token = randomBytes(12).toString('base64url');
    const held: Held[] = [];
    try {
      for (const name of names) held.push(await this.#acquire(name, token));
      return await work();
    } finally {
      await Promise.all(held.map((each) => this.#release(each, token)));
    }
  }

  async #acquire(name: string, token: string): Promise<Held> {
    const deadline = performance.now() + waitMs;
    const leave = await this.#turn(name);
    try {
      const expiration = { type: 'PX', value: leaseMs } as const;
      while ((await this.#redis.set(name, token, { condition: 'NX', expiration })) === null) {
        if (performance.now() > deadline) throw new Error(`waited ${waitMs} ms for ${name}`);
        await setTimeout(retryMsMin + Math.random() * (retryMsMax - retryMsMin));
      }
      return { name, leave };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async #turn(name: string): Promise<() => void> {
    const before = this.#turns.get(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turns.set(name, promise);
    await before;
    return () => {
      if (this.#turns.get(name) === promise) this.#turns.delete(name);
      resolve();
    };
  }

  async #release({ name, leave }: Held, token: string): Promise<void> {
    try {
      await this.#redis.evalSha(this.#releaseSha, { keys: [name], arguments: [token] });
    } finally {
      leave();
    }
  }
}
