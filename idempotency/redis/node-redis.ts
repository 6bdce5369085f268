import type { RedisArgument, RedisConnection } from './connection.ts';
import type { Script } from './scripts.ts';

interface CommandOptions {
  typeMapping?: Record<number, unknown>;
  timeout?: number | undefined;
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
  /** False before the first attempt to connect, and once it has given up or was closed. */
  readonly isOpen: boolean;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: () => void): Promise<unknown>;
  unsubscribe(channel: string, listener: () => void): Promise<unknown>;
  destroy(): void;
}

/** RESP type `$`, a bulk string: `RESP_TYPES.BLOB_STRING`, without importing the optional peer. */
const blobString = 36;
/** Without the client's own time-out, which is an AbortSignal and a timer for every command. */
const unbounded = { timeout: undefined };
const asBuffers = { ...unbounded, typeMapping: { [blobString]: Buffer } };

/** Adapts a connected node-redis client, of one server or of a cluster. */
export function nodeRedis(client: NodeRedisClient | NodeRedisCluster): RedisConnection {
  return new NodeRedis(client);
}

class NodeRedis implements RedisConnection {
  private readonly client: NodeRedisClient | NodeRedisCluster;
  private subscriber: NodeRedisSubscriber | undefined;
  private connected: Promise<unknown> | undefined;
  private closed = false;

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

  command(args: RedisArgument[]): Promise<unknown> {
    return this.send(args[1] as string, args, asBuffers);
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
    const subscriber = this.open();
    await this.connected;
    await subscriber.subscribe(channel, listener);
  }

  async unsubscribe(channel: string, listener: () => void): Promise<void> {
    await this.subscriber?.unsubscribe(channel, listener);
  }

  ping(): Promise<unknown> {
    return this.send(undefined, ['PING'], unbounded);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.drop();
  }

  private open(): NodeRedisSubscriber {
    if (this.closed) throw new Error('The claim store was closed.');
    // One that gave up reconnecting would take a subscription and never answer it.
    if (this.subscriber?.isOpen) return this.subscriber;
    this.drop();
    const subscriber = this.client.duplicate();
    // It reconnects and subscribes again by itself; until then the poll stands in.
    subscriber.on('error', () => {});
    this.subscriber = subscriber;
    this.connected = subscriber.connect();
    return subscriber;
  }

  private drop(): void {
    try {
      this.subscriber?.destroy();
    } catch {
      // Version 5 throws when it is closed already.
    }
    this.subscriber = undefined;
  }
}
