import type { Attempt, Claim, LockDriver } from '../driver.ts';
import { type NodeRedisClient, nodeRedisConnection, type RedisConnection } from './connection.ts';
import { loadScript, type Script } from './script.ts';

const acquireScript = loadScript('acquire');
const releaseScript = loadScript('release');
const extendScript = loadScript('extend');

/**
 * Locks in Redis 7 or later, or Valkey.
 *
 * @param client a connected node-redis client; it stays the caller's to close
 */
export function redisDriver(client: NodeRedisClient): (prefix: string) => LockDriver {
  const connection = nodeRedisConnection(client);
  return (prefix) => new RedisDriver(connection, prefix);
}

class RedisDriver implements LockDriver {
  readonly #connection: RedisConnection;
  readonly #fence: string;

  constructor(connection: RedisConnection, prefix: string) {
    this.#connection = connection;
    this.#fence = `${prefix}:~fence`;
  }

  async acquire({ keys, owner, leaseMs }: Claim): Promise<Attempt> {
    const reply = await this.#run(acquireScript, [this.#fence, ...keys], [owner, `${leaseMs}`]);
    return reply > 0 ? { granted: true, token: reply } : { granted: false, retryMs: -1 - reply };
  }

  async extend({ keys, owner, leaseMs }: Claim): Promise<boolean> {
    return (await this.#run(extendScript, keys, [owner, `${leaseMs}`])) === 1;
  }

  async release({ keys, owner }: Claim): Promise<boolean> {
    return (await this.#run(releaseScript, keys, [owner])) === keys.length;
  }

  async #run(script: Script, keys: readonly string[], values: string[]): Promise<number> {
    const route = keys[0] ?? '';
    const rest = [`${keys.length}`, ...keys, ...values];
    try {
      return Number(await this.#connection.send(route, ['EVALSHA', script.sha, ...rest]));
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return Number(await this.#connection.send(route, ['EVAL', script.source, ...rest]));
    }
  }
}
