import type { RedisArgument, RedisConnection } from './connection.ts';
import type { Script } from './scripts.ts';

interface CommandOptions {
  typeMapping?: Record<number, unknown>;
  abortSignal?: AbortSignal;
}

/** The part of a node-redis client (`redis` 5 or 6) that is used here. */
export interface NodeRedisClient {
  readonly isReady: boolean;
  sendCommand(args: RedisArgument[], options?: CommandOptions): Promise<unknown>;
  duplicate(): NodeRedisSubscriber;
}

/** The part of a node-redis cluster client that is used here. */
export interface NodeRedisCluster {
  readonly isReady: boolean;
  readonly masters: unknown;
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean,
    args: RedisArgument[],
    options?: CommandOptions,
  ): Promise<unknown>;
  duplicate(): NodeRedisSubscriber;
}

interface NodeRedisSubscriber {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: () => void): Promise<unknown>;
  unsubscribe(channel: string, listener: () => void): Promise<unknown>;
  destroy(): void;
}

/** RESP type `$`, a bulk string: `RESP_TYPES.BLOB_STRING`, without importing the optional peer. */
const blobString = 36;
const asBuffers = { typeMapping: { [blobString]: Buffer } };

/** Adapts a connected node-redis client, of one server or of a cluster. */
export function nodeRedis(client: NodeRedisClient | NodeRedisCluster): RedisConnection {
  return new NodeRedis(client);
}

class NodeRedis implements RedisConnection {
  private readonly client: NodeRedisClient | NodeRedisCluster;
  private subscriber: NodeRedisSubscriber | undefined;
  private subscribing: Promise<unknown> | undefined;

  constructor(client: NodeRedisClient | NodeRedisCluster) {
    this.client = client;
  }

  get ready(): boolean {
    return this.client.isReady;
  }

  async evaluate(
    script: Script,
    keys: readonly string[],
    args: readonly RedisArgument[],
    withinMs?: number,
  ): Promise<unknown> {
    const options =
      withinMs === undefined
        ? asBuffers
        : { ...asBuffers, abortSignal: AbortSignal.timeout(withinMs) };
    const command = ['EVALSHA', script.sha1, String(keys.length), ...keys, ...args];
    try {
      return await this.send(keys[0], command, options);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.send(keys[0], ['EVAL', script.text, ...command.slice(2)], options);
    }
  }

  private send(
    key: string | undefined,
    command: RedisArgument[],
    options: CommandOptions,
  ): Promise<unknown> {
    const { client } = this;
    if ('masters' in client) return client.sendCommand(key, false, command, options);
    return client.sendCommand(command, options);
  }

  async subscribe(channel: string, listener: () => void): Promise<void> {
    if (!this.subscriber) {
      this.subscriber = this.client.duplicate();
      // It reconnects and subscribes again by itself; until then the poll stands in.
      this.subscriber.on('error', () => {});
      this.subscribing = this.subscriber.connect();
    }
    await this.subscribing;
    await this.subscriber.subscribe(channel, listener);
  }

  async unsubscribe(channel: string, listener: () => void): Promise<void> {
    await this.subscriber?.unsubscribe(channel, listener);
  }

  ping(): Promise<unknown> {
    return this.send(undefined, ['PING'], {});
  }

  async close(): Promise<void> {
    this.subscriber?.destroy();
    this.subscriber = undefined;
  }
}
