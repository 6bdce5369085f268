import type { Writable } from 'node:stream';
import type { RedisConnection } from './connection.ts';
import { type Ending, whenEnded } from './ending.ts';

/** What ioredis clients, alone and of a cluster, have in common. */
export interface IoredisClient extends Ending {
  readonly isCluster: boolean;
  readonly status: string;
  // biome-ignore lint/suspicious/noExplicitAny: ioredis declares it with many overloads
  call(...command: any[]): Promise<any>;
}

interface Single extends IoredisClient {
  readonly options?: {
    readonly keyPrefix?: string;
    readonly retryStrategy?: ((times: number) => unknown) | null;
  };
  readonly manuallyClosing?: boolean;
  /** Absent until it connects. */
  readonly stream?: Pick<Writable, 'cork' | 'uncork'>;
  duplicate(overrides: object): Subscriber;
}

interface Cluster extends IoredisClient {
  readonly options?: { readonly keyPrefix?: string };
  nodes(role: 'master'): IoredisClient[];
  duplicate(startupNodes: never[], overrides: object): Subscriber;
}

interface Subscriber {
  readonly status: string;
  on(event: 'smessage', listener: (channel: string, message: string) => void): unknown;
  on(event: 'error' | 'connect', listener: () => void): unknown;
  ssubscribe(channel: string): Promise<unknown>;
  disconnect(): void;
  readonly stream?: { unref?(): void };
}

/** Whether the client is one of ioredis. */
export function isIoredis(client: object): client is IoredisClient {
  return 'isCluster' in client && 'call' in client;
}

/**
 * Commands written together. Of 64 tasks at once, all in one write had Node and Redis wait for each
 * other in turns: a third fewer locks a second than parts of 8; parts of 4 are no faster.
 */
const partMax = 8;

/** Adapts an ioredis client, alone, behind Sentinel, or of a cluster. */
export function ioredisConnection(client: IoredisClient): RedisConnection {
  const { options } = client as Single | Cluster;
  if (options?.keyPrefix) {
    throw new TypeError('redisDriver: give createLocks a prefix instead of ioredis a keyPrefix');
  }
  const listeners = new Map<string, (message: string) => void>();
  let subscriber: Subscriber | undefined;
  let forget: (() => void) | undefined;
  let closed = false;
  /** What `subscriber` is subscribed to. */
  const channels = new Set<string>();
  /** What this turn's commands are written together on. */
  let corked: NonNullable<Single['stream']> | undefined;
  let gathered = 0;

  /** The subscriber, or another one where it has ended: that one would never come back. */
  function opened(): Subscriber {
    if (closed || client.status === 'end') throw new Error('the Redis client is closed');
    if (subscriber === undefined || subscriber.status === 'end') {
      forget?.();
      channels.clear();
      subscriber = open();
    }
    return subscriber;
  }

  function open(): Subscriber {
    const own = client.isCluster
      ? (client as Cluster).duplicate([], { shardedSubscribers: true })
      : (client as Single).duplicate({ lazyConnect: false, retryStrategy });
    // It reconnects and subscribes again by itself; until then waiters poll.
    own.on('error', () => {});
    // Being woken is no reason to keep a process alive: waiting has timers that do.
    own.on('connect', () => own.stream?.unref?.());
    // With the caller's client goes ours, which would try to reconnect for ever.
    forget = whenEnded(client, () => own.disconnect());
    own.on('smessage', (channel, message) => listeners.get(channel)?.(message));
    return own;
  }

  /**
   * The client's own, until it is disconnected: where that is done between two attempts to connect,
   * no 'end' tells of it.
   */
  function retryStrategy(times: number): unknown {
    const { manuallyClosing, options } = client as Single;
    return manuallyClosing ? null : options?.retryStrategy?.(times);
  }

  /**
   * ioredis writes each command by itself, a system call each; so those of one turn go together, in
   * parts small enough that Redis works on the first while the turn makes the next.
   */
  function gather(): void {
    if (corked !== undefined) {
      if (++gathered % partMax !== 0) return;
      corked.uncork();
      corked.cork();
      return;
    }
    const { stream } = client as Single;
    if (!stream?.cork) return;
    // Kept, for the client may have another one by the end of the turn.
    corked = stream;
    gathered = 1;
    stream.cork();
    process.nextTick(() => {
      corked = undefined;
      stream.uncork();
    });
  }

  return {
    cluster: client.isCluster,
    send(_routeKey, command) {
      gather();
      return client.call(...command);
    },
    async subscribe(channel, listener) {
      const own = opened();
      listeners.set(channel, listener);
      await own.ssubscribe(channel);
      if (own === subscriber) channels.add(channel);
    },
    // Ready again when it has reconnected; it subscribes at that moment.
    hears: (channel) => subscriber?.status === 'ready' && channels.has(channel),
    async nodes() {
      const nodes = client.isCluster ? (client as Cluster).nodes('master') : [client];
      return nodes.map((node) => (command: string[]) => node.call(...command));
    },
    async close() {
      closed = true;
      channels.clear();
      forget?.();
      subscriber?.disconnect();
    },
  };
}
