import { createHash } from 'node:crypto';
import type { LockMode } from './driver.ts';

/**
 * A named owner as the server knows it: one for each set of keys and mode, so that one who awaits
 * two sets stands in their queues as two, and is never told of the one when it meant the other.
 */
export function ownerOf(name: string, mode: LockMode, keys: readonly string[]): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([mode, keys]))
    .digest('base64url');
  return `${name}~${digest.slice(0, 16)}`;
}

/** An owner as those know it who named it; one that was not named is returned as it is. */
export function nameOf(owner: string): string {
  return owner.replace(/~[\w-]{16}$/, '');
}
