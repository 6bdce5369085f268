import type { RedisArgument, RedisConnection } from './connection.ts';
import type { Script } from './scripts.ts';

/** The part of an ioredis client (`Redis` or `Cluster`, version 5 or 6) that is used here. */
export interface IoRedisClient {
  readonly status: string;
  callBuffer(command: string, ...args: RedisArgument[]): Promise<unknown>;
  duplicate(): IoRedisSubscriber;
}

interface IoRedisSubscriber {
  /** `end` once it has given up reconnecting or was disconnected. */
  readonly status: string;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'message', listener: (channel: string) => void): unknown;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  disconnect(): void;
}

/** Adapts an ioredis client, of one server or of a cluster. */
export function ioRedis(client: IoRedisClient): RedisConnection {
  return new IoRedis(client);
}

// Without `command`: ioredis writes each command to the socket by itself.
class IoRedis implements RedisConnection {
  private readonly client: IoRedisClient;
  private subscriber: IoRedisSubscriber | undefined;
  private closed = false;
  private readonly listeners = new Map<string, Set<() => void>>();

  constructor(client: IoRedisClient) {
    this.client = client;
  }

  get ready(): boolean {
    return this.client.status === 'ready';
  }

  // ioredis queues while it reconnects and has no way to take a command back; an owner that nobody
  // waits for is released when its key is next claimed.
  async evaluate(
    script: Script,
    keys: readonly string[],
    args: readonly RedisArgument[],
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await this.client.callBuffer('EVALSHA', script.sha1, ...rest);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return this.client.callBuffer('EVAL', script.text, ...rest);
    }
  }

  async subscribe(channel: string, listener: () => void): Promise<void> {
    const subscriber = this.open();
    const listeners = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, listeners.add(listener));
    try {
      await subscriber.subscribe(channel);
    } catch (error) {
      this.unsubscribe(channel, listener).catch(() => {});
      throw error;
    }
  }

  async unsubscribe(channel: string, listener: () => void): Promise<void> {
    const listeners = this.listeners.get(channel);
    listeners?.delete(listener);
    if (!listeners || listeners.size > 0) return;
    this.listeners.delete(channel);
    await this.subscriber?.unsubscribe(channel);
  }

  ping(): Promise<unknown> {
    return this.client.callBuffer('PING');
  }

  async close(): Promise<void> {
    this.closed = true;
    this.subscriber?.disconnect();
    this.subscriber = undefined;
  }

  private open(): IoRedisSubscriber {
    if (this.closed) throw new Error('The claim store was closed.');
    if (this.subscriber && this.subscriber.status !== 'end') return this.subscriber;
    const subscriber = this.client.duplicate();
    // It reconnects and subscribes again by itself; until then the poll stands in.
    subscriber.on('error', () => {});
    subscriber.on('message', (channel) => {
      for (const listener of this.listeners.get(channel) ?? []) listener();
    });
    this.subscriber = subscriber;
    return subscriber;
  }
}
