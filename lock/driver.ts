/** `exclusive`: one holder. `shared`: any number of shared holders, and no exclusive one. */
export type LockMode = 'exclusive' | 'shared';

/** What one attempt asks for. Keys are sorted, unique and carry the prefix already. */
export interface Claim {
  readonly keys: readonly string[];
  /** Names the holder. Claiming again with the same owner succeeds and starts the lease anew. */
  readonly owner: string;
  readonly mode: LockMode;
  readonly leaseMs: number;
}

/** The answer to one attempt. */
export type Attempt =
  /** All keys are held. `token` rises with every grant of these keys. */
  | { readonly granted: true; readonly token: number }
  /** Nothing is held. `retryMs`: when the lease in the way ends at the latest; 0 = unknown. */
  | { readonly granted: false; readonly retryMs: number };

/** The few operations a lock server must offer; everything else is built on them. */
export interface LockDriver {
  /** Takes all keys or none, in one round trip. */
  acquire(claim: Claim): Promise<Attempt>;
  /** Starts the lease of all keys anew if `owner` holds every one of them; else changes nothing. */
  extend(claim: Claim): Promise<boolean>;
  /** Gives back those of the keys that `owner` holds. True if it held all of them. */
  release(claim: Claim): Promise<boolean>;
}
