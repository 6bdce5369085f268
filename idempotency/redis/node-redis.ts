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

/** Adapts a connected node-redis client. */
export function nodeRedis(client: NodeRedisClient): RedisConnection {
  return new NodeRedis(client);
}

class NodeRedis implements RedisConnection {
  private readonly client: NodeRedisClient;
  private subscriber: NodeRedisSubscriber | undefined;
  private subscribing: Promise<unknown> | undefined;

  constructor(client: NodeRedisClient) {
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
      return await this.client.sendCommand(command, options);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.client.sendCommand(['EVAL', script.text, ...command.slice(2)], options);
    }
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
    return this.client.sendCommand(['PING']);
  }

  async close(): Promise<void> {
    this.subscriber?.destroy();
    this.subscriber = undefined;
  }
}
