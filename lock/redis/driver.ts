import type {
  Attempt,
  Claim,
  DriverContext,
  DriverFactory,
  KeyState,
  LockDriver,
} from '../driver.ts';
import { connect, type RedisClient } from './connect.ts';
import type { RedisConnection } from './connection.ts';
import { readState } from './inspect.ts';
import { loadScript, type Script } from './script.ts';
import { slotOf, tagOfSlot } from './slot.ts';

const acquireScript = loadScript('mint', 'queued', 'acquire', 'queue', 'contended');
const releaseScript = loadScript('mint', 'queued', 'release', 'queue', 'pass-on');
const extendScript = loadScript('extend');
const forceScript = loadScript('mint', 'force-release', 'queue', 'pass-forced');
const inspectScript = loadScript('inspect');

/**
 * Locks in Redis 7 or later, or Valkey: alone, behind Sentinel, or as a Cluster.
 *
 * Opens one more connection when somebody first has to wait, for being woken.
 * @param client a connected client of `redis` (5, 6) or `ioredis` (5, 6); the caller's to close
 */
export function redisDriver(client: RedisClient): DriverFactory {
  return (context) => new RedisDriver(connect(client), context);
}

class RedisDriver implements LockDriver {
  readonly #connection: RedisConnection;
  readonly #context: DriverContext;
  readonly #listening = new Map<string, Promise<boolean>>();
  readonly partition?: (keys: readonly string[]) => string[][];

  constructor(connection: RedisConnection, context: DriverContext) {
    this.#connection = connection;
    this.#context = context;
    if (connection.cluster) this.partition = bySlot;
  }

  async acquire(claim: Claim, wait: boolean): Promise<Attempt> {
    const domain = this.#domain(claim.keys);
    const queued = wait && this.#hears(domain);
    const reply = await this.#acquire(domain, claim, queued);
    if (reply > 0) return { granted: true, token: reply };
    return { granted: false, retryMs: -1 - reply, queued };
  }

  listen(keys: readonly string[]): Promise<boolean> {
    const domain = this.#domain(keys);
    if (this.#hears(domain)) return Promise.resolve(true);
    const listening = this.#listening.get(domain) ?? this.#subscribe(domain);
    this.#listening.set(domain, listening);
    return listening;
  }

  async extend(claim: Claim, tokenFloor = 0): Promise<boolean> {
    const { keys, owner, leaseMs } = claim;
    const values = [owner, `${leaseMs}`, letter(claim), `${tokenFloor}`];
    return (await this.#run(extendScript, this.#domain(keys), keys, values)) === 1;
  }

  async release(claim: Claim, late = false): Promise<boolean> {
    const { keys, owner, sending = '' } = claim;
    const values = [owner, letter(claim), late ? sending : ''];
    const count = await this.#run(releaseScript, this.#domain(keys), keys, values);
    return count === keys.length;
  }

  async forceRelease(key: string): Promise<boolean> {
    return (await this.#run(forceScript, this.#domain([key]), [key], [])) === 1;
  }

  async inspect(keys: readonly string[]): Promise<KeyState[]> {
    const states = await Promise.all(
      (this.partition?.(keys) ?? [keys]).map(async (group) => {
        const reply = await this.#run(inspectScript, this.#domain(group), group, []);
        return group.map((key, at) => readState(key, (reply as unknown[])[at]));
      }),
    );
    const byKey = new Map(states.flat().map((state) => [state.key, state]));
    return keys.flatMap((key) => byKey.get(key) ?? []);
  }

  async *list(start: string): AsyncGenerator<string[]> {
    const { prefix } = this.#context;
    const pattern = `${prefix}:${start}`.replace(/[*?[\]\\]/g, '\\$&');
    for (const node of await this.#connection.nodes()) {
      let cursor = '0';
      do {
        const command = ['SCAN', cursor, 'MATCH', `${pattern}*`, 'COUNT', '500'];
        const [next, keys] = (await node(command)) as [string | number, string[]];
        cursor = `${next}`;
        // The driver's own keys start with a tilde, which no lock key may.
        yield keys.filter((key) => key[prefix.length + 1] !== '~');
      } while (cursor !== '0');
    }
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #acquire(domain: string, claim: Claim, queue: boolean): Promise<number> {
    const { client, aliveMs } = this.#context;
    const { keys, owner, leaseMs, sending } = claim;
    const waiter = queue ? client : '';
    const since = sending === undefined ? `${Date.now()}` : `${Date.now()} ${sending}`;
    const values = [owner, `${leaseMs}`, letter(claim), waiter, `${aliveMs}`, since];
    return (await this.#run(acquireScript, domain, keys, values)) as number;
  }

  async #subscribe(domain: string): Promise<boolean> {
    try {
      await this.#connection.subscribe(this.#channel(domain), this.#heardOf);
    } catch {
      // The next to ask tries again.
    }
    this.#listening.delete(domain);
    return this.#hears(domain);
  }

  /** One that cannot be woken must not queue: everybody would pass it. */
  #hears(domain: string): boolean {
    return this.#connection.hears(this.#channel(domain));
  }

  #channel(domain: string): string {
    return `${domain}wake:${this.#context.client}`;
  }

  /** One function for all subscriptions: of the same, a client keeps one. */
  readonly #heardOf = (message: string): void => {
    const space = message.lastIndexOf(' ');
    this.#context.onGrant(message.slice(0, space), Number(message.slice(space + 1)));
  };

  /** What stands before the names of the queues that these keys share; in their slot. */
  #domain(keys: readonly string[]): string {
    const { prefix } = this.#context;
    if (!this.#connection.cluster) return `${prefix}:~:`;
    return `${prefix}:~{${tagOfSlot(slotOf(keys[0] ?? ''))}}:`;
  }

  async #run(
    script: Script,
    domain: string,
    keys: readonly string[],
    values: string[],
  ): Promise<unknown> {
    const route = `${domain}waiting`;
    const rest = [`${keys.length + 2}`, route, `${domain}fence`, ...keys, ...values];
    try {
      return await this.#connection.send(route, ['EVALSHA', script.sha, ...rest]);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return await this.#connection.send(route, ['EVAL', script.source, ...rest]);
    }
  }
}

function letter({ mode }: Claim): string {
  return mode === 'exclusive' ? 'x' : 's';
}

function bySlot(keys: readonly string[]): string[][] {
  const slots = new Map<number, string[]>();
  for (const key of keys) {
    const slot = slotOf(key);
    const group = slots.get(slot);
    if (group) group.push(key);
    else slots.set(slot, [key]);
  }
  return [...slots].sort(([a], [b]) => a - b).map(([, group]) => group);
}
