import type { RedisArgument, RedisConnection } from './connection.ts';
import { Deadlines } from './deadlines.ts';
import type { Script } from './scripts.ts';

/** What a key of Redis is made from. */
export interface Keyed {
  scope: string;
  key: string;
}

/**
 * The calls of a store over its connection: on the keys of scopes and bounded in time.
 *
 * While the client is not connected a call rejects at once. It would queue the command, and send it
 * when nobody waits for it.
 */
export class RedisCalls {
  readonly connection: RedisConnection;
  private readonly prefix: string;
  private readonly timeoutMs: number;
  private readonly deadlines: Deadlines;

  constructor(connection: RedisConnection, prefix: string, timeoutMs: number) {
    this.connection = connection;
    this.prefix = prefix;
    this.timeoutMs = timeoutMs;
    this.deadlines = new Deadlines(timeoutMs);
  }

  /** Whether {@link command} can be used. */
  get hasCommands(): boolean {
    return this.connection.command !== undefined;
  }

  command(args: RedisArgument[]): Promise<unknown> {
    const { connection } = this;
    if (!connection.command || !connection.ready) return Promise.reject(notConnected());
    return this.bound(connection.command(args));
  }

  script(script: Script, items: readonly Keyed[], args: RedisArgument[]): Promise<unknown> {
    if (!this.connection.ready) return Promise.reject(notConnected());
    return this.bound(this.connection.evaluate(script, this.keysOf(items), args));
  }

  /** Waits for a new connection as well, but not longer than for an answer. */
  patientScript(script: Script, items: readonly Keyed[], args: RedisArgument[]): Promise<unknown> {
    const keys = this.keysOf(items);
    return this.bound(this.connection.evaluate(script, keys, args, this.timeoutMs));
  }

  async ping(): Promise<void> {
    if (!this.connection.ready) throw notConnected();
    await this.bound(this.connection.ping());
  }

  bound<T>(call: Promise<T>): Promise<T> {
    return this.deadlines.bound(call);
  }

  /** Resolves once no call is pending. */
  drained(): Promise<void> {
    return this.deadlines.drained();
  }

  keyOf({ scope, key }: Keyed): string {
    return `${this.prefix}:{${hashTag(scope)}}:${key}`;
  }

  private keysOf(items: readonly Keyed[]): string[] {
    return items.map((item) => this.keyOf(item));
  }
}

/** Braces would end the hash tag early and let two scopes share a key. */
function hashTag(scope: string): string {
  if (scope !== '' && !/[{}%]/.test(scope)) return scope;
  return `%${scope.replace(/[{}%]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)}`;
}

function notConnected(): Error {
  return new Error('Redis is not connected.');
}

export function isDisconnection(error: unknown): boolean {
  return (
    error instanceof Error && /clos|disconnect|ECONN|EPIPE/i.test(`${error.name} ${error.message}`)
  );
}

export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE');
}

/** Whether the server reads but does not write: it is full, a replica, or cannot persist. */
export function isWriteRefusal(error: unknown): boolean {
  return error instanceof Error && /^(?:OOM|READONLY|MISCONF) /.test(error.message);
}
