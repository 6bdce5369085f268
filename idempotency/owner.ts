import { randomBytes } from 'node:crypto';

const process = randomBytes(12).toString('base64url');
let attempts = 0;

/** A token for one attempt: 16 random characters of this process, then a counter of 8. */
export function newOwner(): string {
  attempts = (attempts + 1) % 0x1_0000_0000;
  return process + attempts.toString(16).padStart(8, '0');
}
