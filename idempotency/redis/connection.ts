import type { Script } from './scripts.ts';

export type RedisArgument = string | Buffer;

/** What the Redis store needs of a client; `nodeRedis` makes one. */
export interface RedisConnection {
  /** Whether a command would be sent now rather than queued for a reconnection. */
  readonly ready: boolean;
  /**
   * Runs a script, by its hash where the server knows it.
   *
   * @param withinMs send even when not ready, but not later than this
   * @returns bulk strings as Buffers, integers as numbers, nil as null
   */
  evaluate(
    script: Script,
    keys: readonly string[],
    args: readonly RedisArgument[],
    withinMs?: number,
  ): Promise<unknown>;
  /**
   * Sends a command of Redis, `args[1]` its key. Commands of one tick must share a write and a
   * round trip: a client that writes each by itself leaves this out, and scripts do the work.
   *
   * @returns as {@link evaluate} does; an error of Redis rejects with its text as message
   */
  command?(args: RedisArgument[]): Promise<unknown>;
  /** Listens on a channel, over a connection of its own that is opened at first use. */
  subscribe(channel: string, listener: () => void): Promise<void>;
  unsubscribe(channel: string, listener: () => void): Promise<void>;
  ping(): Promise<unknown>;
  /** Closes what this opened itself, not the client it was given. */
  close(): Promise<void>;
}
