import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { RedisClientType } from 'redis';

/** Longer than any transaction takes, as the classic design has to hope. */
const leaseMs = 10_000;
/** A waiter gives up after this. */
const waitMs = 10_000;
/** Between two attempts, evenly spread. The best of 1, 2, 5, 10 and 20 ms with 128 waiters. */
const retryMsMin = 2;
const retryMsMax = 10;

const RELEASE = `
-- Releases a lock that is still ours. KEYS[1] the lock, ARGV[1] our token. Returns 1, or 0 if lost.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/** The lock of the Redis documentation: SET NX PX, a token of one's own, release by script. */
export class RedisLock {
  readonly #redis: RedisClientType;
  readonly #releaseSha: string;

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
    const held: string[] = [];
    try {
      for (const name of names) {
        await this.#acquire(name, token);
        held.push(name);
      }
      return await work();
    } finally {
      await Promise.all(held.map((name) => this.#release(name, token)));
    }
  }

  async #acquire(name: string, token: string): Promise<void> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      const expiration = { type: 'PX', value: leaseMs } as const;
      if ((await this.#redis.set(name, token, { condition: 'NX', expiration })) !== null) return;
      if (performance.now() > deadline) throw new Error(`waited ${waitMs} ms for ${name}`);
      await setTimeout(retryMsMin + Math.random() * (retryMsMax - retryMsMin));
    }
  }

  #release(name: string, token: string): Promise<unknown> {
    return this.#redis.evalSha(this.#releaseSha, { keys: [name], arguments: [token] });
  }
}
