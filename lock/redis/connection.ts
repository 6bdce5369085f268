/** The part of a Redis client that the driver needs; one adapter per client library. */
export interface RedisConnection {
  /** Whether keys of different slots must not meet in one script. */
  readonly cluster: boolean;
  /** Sends one command, all of whose keys lie in the slot of `routeKey`. */
  send(routeKey: string, command: string[]): Promise<unknown>;
  /** Listens on a sharded channel, also after the connection was lost and found again. */
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
  /** Whether messages of a channel arrive now; false while the connection for them is lost. */
  hears(channel: string): boolean;
  /** A way to send a command to each node that holds keys. */
  nodes(): Promise<readonly ((command: string[]) => Promise<unknown>)[]>;
  /** Ends the subscriptions. */
  close(): Promise<void>;
}
