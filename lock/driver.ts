/** `exclusive`: one holder. `shared`: any number of shared holders, and no exclusive one. */
export type LockMode = 'exclusive' | 'shared';

/** What is asked for. Keys are sorted, unique and carry the prefix already. */
export interface Claim {
  readonly keys: readonly string[];
  /** Names the holder; no spaces. Claiming again with it succeeds and starts the lease anew. */
  readonly owner: string;
  readonly mode: LockMode;
  readonly leaseMs: number;
  /**
   * Tells apart the calls that claim with one owner; no spaces. Absent: the owner is unique to this
   * call.
   */
  readonly sending?: string;
}

/** The answer to one attempt. */
export type Attempt =
  /** All keys are held. `token` (a safe integer) rises with every grant of these keys. */
  | { readonly granted: true; readonly token: number }
  /**
   * Nothing is held. `retryMs`: when the lease in the way ends, 0 = unknown. `queued`: the owner
   * has a place in the queue and will be told of its grant, provided it asks again within
   * `aliveMs`. `pollMs`: it will not be told, and should ask again after so long.
   */
  | {
      readonly granted: false;
      readonly retryMs: number;
      readonly queued: boolean;
      readonly pollMs?: number;
    };

/** Who holds a key and who awaits it. */
export interface KeyState {
  /** With the prefix. */
  readonly key: string;
  readonly mode: LockMode | 'free';
  /** `heldMs` is unknown (undefined) for shared holders. */
  readonly holders: readonly { readonly owner: string; readonly heldMs: number | undefined }[];
  /** Until the last holder's lease ends, if nobody extends it; 0 when free. */
  readonly remainingMs: number;
  /** Owners in the order in which they will be served. */
  readonly waiters: readonly string[];
}

/**
 * The few operations a lock server must offer; everything else is built on them. A driver need not
 * bound them in time. Every rejection is taken as: it is unknown whether the server did it.
 */
export interface LockDriver {
  /**
   * Splits keys into groups that one call can take, in the order in which they must be taken.
   * Absent: one call takes any keys.
   */
  partition?(keys: readonly string[]): readonly (readonly string[])[];
  /**
   * Takes all keys or none, in one round trip when they are free. `wait`: queues the owner, if it
   * can be told of a grant.
   */
  acquire(claim: Claim, wait: boolean): Promise<Attempt>;
  /**
   * Makes ready to be told of grants of these keys, so that {@link acquire} may queue. It may take
   * as long as it likes; who calls meanwhile gets the same promise. Never rejects; false when that
   * failed. Absent: always ready.
   */
  listen?(keys: readonly string[]): Promise<boolean>;
  /**
   * Starts the lease of all keys anew if `owner` holds every one of them; else changes nothing.
   * `tokenFloor`: later grants of these keys get a token above it.
   */
  extend(claim: Claim, tokenFloor?: number): Promise<boolean>;
  /**
   * Gives back what `owner` holds of the keys and ends its waiting. True if it held all. `late`: it
   * may have claimed them again since, so of a claim with a `sending` only what that one took or
   * asked for; of shared keys nothing, where the server cannot tell.
   */
  release(claim: Claim, late?: boolean): Promise<boolean>;
  /** The state of each key, in the order given. */
  inspect(keys: readonly string[]): Promise<KeyState[]>;
  /** Keys held under this prefix whose name goes on with `start`, in no order. */
  list(start: string): AsyncIterable<readonly string[]>;
  /** Takes a key away from whoever holds it. False if nobody did. */
  forceRelease(key: string): Promise<boolean>;
  /** Ends what the driver itself opened; the client it was given stays open. */
  close(): Promise<void>;
}

/** What a driver is told when it is put to use. */
export interface DriverContext {
  /** Stands before every key, followed by a colon. */
  readonly prefix: string;
  /** Names this process and this set of locks; unique, without spaces. */
  readonly client: string;
  /** A waiter that has not asked again for this long is passed over. */
  readonly aliveMs: number;
  /** To be called when a queued owner was granted its keys. */
  readonly onGrant: (owner: string, token: number) => void;
}

/** What `createLocks` takes as its driver. */
export type DriverFactory = (context: DriverContext) => LockDriver;
