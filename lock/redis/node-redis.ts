import type { RedisConnection } from './connection.ts';
import { type Ending, whenEnded } from './ending.ts';
import { slotOf } from './slot.ts';

type Send = (command: string[]) => Promise<unknown>;

/**
 * Without node-redis' own timeout, which makes an AbortSignal a command (a third of the cost of a
 * lock); the session bounds every command itself.
 */
const unbounded = { timeout: undefined };
type Subscribe = (channel: string, listener: (message: string) => void) => Promise<unknown>;

/** What all node-redis clients have in common; the rest is told apart at run time. */
export interface NodeRedisClient {
  // biome-ignore lint/suspicious/noExplicitAny: the three kinds of client differ in its parameters
  sendCommand(...parameters: any[]): Promise<any>;
}

interface Single extends Ending {
  readonly isOpen: boolean;
  readonly isReady: boolean;
  sendCommand(command: string[], options: typeof unbounded): Promise<unknown>;
  duplicate(): Subscriber;
}

interface Subscriber {
  readonly isOpen: boolean;
  readonly isReady: boolean;
  on(event: 'error', listener: () => void): unknown;
  connect(): Promise<unknown>;
  sSubscribe: Subscribe;
  unref(): void;
  destroy(): void;
}

/** A node of a cluster, and its connection for sharded channels once somebody has subscribed. */
interface Master {
  pubSub?:
    | {
        readonly client: Pick<Subscriber, 'isOpen' | 'isReady'>;
        /** While it connects. */
        readonly connectPromise?: Promise<unknown> | undefined;
      }
    | undefined;
}

interface Cluster {
  readonly masters: unknown[];
  /** Empty while the client looks for them. */
  readonly slots: ({ readonly master: Master } | undefined)[];
  nodeClient(node: unknown): Promise<{ sendCommand: Send }>;
  sendCommand(
    firstKey: string,
    isReadonly: boolean,
    command: string[],
    options: typeof unbounded,
  ): Promise<unknown>;
  sSubscribe: Subscribe;
  sUnsubscribe(channels: string[]): Promise<unknown>;
}

interface Sentinel {
  sendCommand(isReadonly: boolean, command: string[], options: typeof unbounded): Promise<unknown>;
  sSubscribe: Subscribe;
  sUnsubscribe(channels: string[]): Promise<unknown>;
}

/** Adapts a node-redis client of any kind. */
export function nodeRedisConnection(client: NodeRedisClient): RedisConnection {
  if ('nodeClient' in client) return clusterConnection(client as unknown as Cluster);
  if ('getSentinelNode' in client) return sentinelConnection(client as unknown as Sentinel);
  return singleConnection(client as unknown as Single);
}

function singleConnection(client: Single): RedisConnection {
  // What is queued for later would come too late.
  const send: Send = (command) =>
    client.isReady
      ? client.sendCommand(command, unbounded)
      : Promise.reject(new Error('the Redis client is not connected'));
  let subscriber: Promise<Subscriber> | undefined;
  let own: Subscriber | undefined;
  let forget: (() => void) | undefined;
  let closed = false;
  /** What `own` is subscribed to. */
  const channels = new Set<string>();

  async function open(): Promise<Subscriber> {
    const made = client.duplicate();
    own = made;
    // It reconnects and subscribes again by itself; until then waiters poll.
    made.on('error', () => {
      // One that gave up would take a subscription and never answer it.
      if (!made.isOpen) drop(made);
    });
    // With the caller's client goes ours, which would try to reconnect for ever.
    forget = whenEnded(client, () => drop(made));
    try {
      await made.connect();
    } catch (error) {
      drop(made);
      throw error;
    }
    // Being woken is no reason to keep a process alive: waiting has timers that do.
    made.unref();
    return made;
  }

  /** Also while it connects, which may take for ever. The next subscription opens another. */
  function drop(made: Subscriber | undefined): void {
    if (made === undefined || made !== own) return;
    own = undefined;
    subscriber = undefined;
    channels.clear();
    forget?.();
    if (made.isOpen) made.destroy();
  }

  return {
    cluster: false,
    send: (_routeKey, command) => send(command),
    async subscribe(channel, listener) {
      if (closed || !client.isOpen) throw new Error('the Redis client is closed');
      subscriber ??= open();
      const made = await subscriber;
      await made.sSubscribe(channel, listener);
      if (made === own) channels.add(channel);
    },
    // Ready again when it has reconnected and subscribed.
    hears: (channel) => own?.isReady === true && channels.has(channel),
    nodes: async () => [send],
    async close() {
      closed = true;
      drop(own);
    },
  };
}

function clusterConnection(client: Cluster): RedisConnection {
  /** Channels and what was subscribed to each. */
  const subscribers = new Map<string, unknown>();
  const masterOf = (channel: string) => client.slots[slotOf(channel)]?.master;
  const subscriberOf = (channel: string) => masterOf(channel)?.pubSub?.client;
  return {
    cluster: true,
    send: (routeKey, command) => client.sendCommand(routeKey, false, command, unbounded),
    async subscribe(channel, listener) {
      const master = masterOf(channel);
      const { pubSub } = master ?? {};
      // The client keeps one that gave up, which would take a subscription and never answer it.
      if (master && pubSub && !pubSub.connectPromise && !pubSub.client.isOpen) {
        master.pubSub = undefined;
      }
      await client.sSubscribe(channel, listener);
      subscribers.set(channel, subscriberOf(channel));
    },
    // Ready again when it has reconnected and subscribed. Where the slot has moved, it is another.
    hears(channel) {
      const subscriber = subscriberOf(channel);
      return subscriber?.isReady === true && subscribers.get(channel) === subscriber;
    },
    nodes: () =>
      Promise.all(
        client.masters.map(async (node): Promise<Send> => {
          const its = await client.nodeClient(node);
          return (command) => its.sendCommand(command);
        }),
      ),
    async close() {
      for (const channel of subscribers.keys()) {
        if (subscriberOf(channel)?.isOpen) await client.sUnsubscribe([channel]).catch(() => {});
      }
    },
  };
}

function sentinelConnection(client: Sentinel): RedisConnection {
  const channels = new Set<string>();
  const send: Send = (command) => client.sendCommand(false, command, unbounded);
  return {
    cluster: false,
    send: (_routeKey, command) => send(command),
    async subscribe(channel, listener) {
      await client.sSubscribe(channel, listener);
      channels.add(channel);
    },
    // The client keeps to it that they are listened on.
    hears: (channel) => channels.has(channel),
    nodes: async () => [send],
    async close() {
      for (const channel of channels) await client.sUnsubscribe([channel]).catch(() => {});
    },
  };
}
