import { createHash } from 'node:crypto';
import type { Reply } from './connection.ts';

export type Repeat = 'none' | 'at-once' | 'later';

/**
 * Whether and when a request is sent a second time. It hangs on the key alone, so that a second
 * run repeats the same ones. Half of the share goes out while the first is in flight.
 * @param share 0 to 1
 */
export function repeatOf(key: string, share: number): Repeat {
  const drawn = createHash('sha256').update(key).digest().readUInt32BE() / 2 ** 32;
  if (drawn >= share) return 'none';
  return drawn < share / 2 ? 'at-once' : 'later';
}

/** What a repeat must give back to the byte, in constant size. */
export function printOf({ status, headers, body }: Reply): string {
  const hash = createHash('sha256');
  hash.update(`${status}\n${headers['content-type'] ?? ''}\n${headers.location ?? ''}\n`);
  return hash.update(body).digest('base64');
}

export function isReplayed({ headers }: Reply): boolean {
  return headers['idempotent-replayed'] === 'true';
}
