/** The part of a Redis client that the driver needs; one adapter per client library. */
export interface RedisConnection {
  /** Sends one command whose keys lie in the slot of `routeKey`, and answers its reply. */
  send(routeKey: string, command: string[]): Promise<unknown>;
}

/** What is used of a node-redis 5 or 6 client (`createClient`, `createSentinel`, a pool). */
export interface NodeRedisClient {
  sendCommand(command: string[]): Promise<unknown>;
}

/** Adapts a node-redis client. */
export function nodeRedisConnection(client: NodeRedisClient): RedisConnection {
  return { send: (_routeKey, command) => client.sendCommand(command) };
}
