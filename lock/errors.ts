/** Stable code of a lock error; match on it instead of on the message. */
export type LockErrorCode = 'lock-timeout' | 'lock-lost' | 'lock-unavailable' | 'lock-aborted';

/** What every error of this package has in common. */
export abstract class LockError extends Error {
  abstract readonly code: LockErrorCode;
  /** Whether asking again for the same keys may succeed without anything being repaired first. */
  abstract readonly retryable: boolean;
  /** The keys asked for, sorted and without the prefix. */
  readonly keys: readonly string[];

  constructor(message: string, keys: readonly string[], options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.keys = keys;
  }
}

/** Somebody else held a key until `waitMs` was over. Nothing is held. */
export class LockTimeout extends LockError {
  readonly code = 'lock-timeout';
  readonly retryable = true;
}

/** The lease is over or was taken away: its holder must not write any more. */
export class LockLost extends LockError {
  readonly code = 'lock-lost';
  readonly retryable = true;
  /** What a routine run by `using` had returned when its lease turned out to be lost. */
  readonly result: unknown;

  constructor(
    message: string,
    keys: readonly string[],
    options?: ErrorOptions & { readonly result?: unknown },
  ) {
    super(message, keys, options);
    this.result = options?.result;
  }
}

/**
 * The lock server did not answer in time or refused. Whether the keys were taken is unknown; they
 * are given back as soon as possible and at the latest free themselves when the lease is over.
 */
export class LockUnavailable extends LockError {
  readonly code = 'lock-unavailable';
  readonly retryable = true;
}

/** The caller's `AbortSignal` fired while waiting, or the locks were closed. Nothing is held. */
export class LockAborted extends LockError {
  readonly code = 'lock-aborted';
  readonly retryable = false;
}

/** Names keys in a message without letting four thousand of them fill a log line. */
export function describeKeys(keys: readonly string[]): string {
  return keys.length > 3
    ? `${keys.slice(0, 3).join(', ')} and ${keys.length - 3} more`
    : keys.join(', ');
}
