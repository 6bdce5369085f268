import type { LockMode } from './driver.ts';
import type { LockError } from './errors.ts';

/** What every event says. */
export interface LockEvent {
  /** Sorted and unique, without the prefix. */
  readonly keys: readonly string[];
  readonly mode: LockMode;
}

/**
 * Called as things happen, for metrics and traces. A hook must be quick; what it throws, or rejects
 * with, is ignored, as a broken meter is no reason to lose a lock.
 */
export interface LockHooks {
  /** A lease was granted after `waitedMs`. */
  acquired?(event: LockEvent & { readonly waitedMs: number; readonly fencingToken: bigint }): void;
  /** An acquire failed after `waitedMs`. */
  refused?(event: LockEvent & { readonly waitedMs: number; readonly error: unknown }): void;
  /** A lease was started anew. */
  extended?(event: LockEvent): void;
  /** A lease ended by `release` after `heldMs`, in time. */
  released?(event: LockEvent & { readonly heldMs: number }): void;
  /** A lease ended before it was released. */
  lost?(event: LockEvent & { readonly heldMs: number; readonly error: LockError }): void;
  /** A key was taken away from its holders by `forceRelease`. */
  forced?(event: {
    readonly keys: readonly string[];
    readonly reason: string;
    readonly holders: readonly { readonly owner: string }[];
  }): void;
}

/** Calls one hook, if there is one, and survives it. */
export function notify<E>(hook: ((event: E) => unknown) | undefined, event: E): void {
  try {
    const outcome = hook?.(event);
    // An async function is a hook, too, for TypeScript.
    if (outcome instanceof Promise) outcome.catch(() => {});
  } catch {
    // See LockHooks.
  }
}
