import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@redis/client';

export type RedisClient = ReturnType<typeof newClient>;

/** Pause between attempts to reach a Redis that is gone: grows to this, with jitter. */
const reconnectMsMax = 1_000;

/**
 * How often a quiet connection is asked, and how long it may be silent before it counts as dead.
 */
const pingEveryMs = 2_000;
const silentMsMax = 5_000;

/**
 * How long a stop waits for Redis to take what is given back; past it, leases end by themselves.
 */
const closeMsMax = 500;

function newClient(url: string) {
  return createClient({
    ...addressOf(url),
    // A command for a Redis that is gone fails at once: it is an accelerator, nobody waits for it.
    disableOfflineQueue: true,
    // A connection that died without a word is found by a PING that nobody answers, and replaced.
    pingInterval: pingEveryMs,
    socket: {
      ...addressOf(url).socket,
      socketTimeout: silentMsMax,
      connectTimeout: 1_000,
      reconnectStrategy: (retries: number) =>
        Math.min(20 * 2 ** Math.min(retries, 6), reconnectMsMax) * (0.75 + Math.random() / 2),
    },
  });
}

/** node-redis takes a unix socket as an option, not as a URL. */
function addressOf(url: string): { url?: string; socket?: { path: string; tls: false } } {
  if (!url.startsWith('unix://')) return { url };
  return { socket: { path: url.slice('unix://'.length), tls: false } };
}

/**
 * A client that keeps trying to reach Redis in the background; the service starts without it.
 * @param onError told of every failed connection
 */
export function connectRedis(url: string, onError: (error: Error) => void): RedisClient {
  const client = newClient(url);
  client.on('error', onError);
  client.connect().catch(onError);
  return client;
}

/**
 * Sends what is still to be sent, claims and leases to give back, and then closes the connection.
 * Never rejects; lasts at most `closeMsMax`.
 */
export async function closeRedis(client: RedisClient): Promise<void> {
  if (!client.isOpen) return;
  const closed = client.isReady ? client.close().catch(() => {}) : undefined;
  await Promise.race([closed, delay(closeMsMax, undefined, { ref: false })]);
  if (client.isOpen) client.destroy();
}
