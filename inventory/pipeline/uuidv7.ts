import { randomFillSync } from 'node:crypto';

// 12 bits of counter start in their lower half, so that a millisecond holds 2,048 ids or more before
// the counter would carry into the next millisecond.
const COUNTER_MAX = 0xfff;
const COUNTER_START_MASK = 0x7ff;

let lastMs = 0;
let counter = 0;
const random = new Uint8Array(16 * 256);
let randomUsed = random.length;

/**
 * A UUIDv7, increasing within this process (RFC 9562, section 6.2, method 1: a counter in rand_a).
 * @param now milliseconds since the epoch; an earlier one than before counts as the latest
 */
export function uuidv7(now: number): string {
  const bytes = randomBytes();
  const at = randomUsed;
  if (now > lastMs) {
    lastMs = now;
    counter = (((bytes[at] as number) << 8) | (bytes[at + 1] as number)) & COUNTER_START_MASK;
  } else if (counter < COUNTER_MAX) {
    counter += 1;
  } else {
    lastMs += 1;
    counter = 0;
  }
  const time = lastMs.toString(16).padStart(12, '0');
  const tail = Buffer.from(random.buffer, at + 2, 8);
  tail[0] = ((tail[0] as number) & 0x3f) | 0x80;
  const hex = tail.toString('hex');
  const count = counter.toString(16).padStart(3, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${hex.slice(0, 4)}-${hex.slice(4)}`;
}

/** Drawn from the system a pool at a time: one call per id would cost more than the id. */
function randomBytes(): Uint8Array {
  randomUsed += 16;
  if (randomUsed + 16 > random.length) {
    randomFillSync(random);
    randomUsed = 0;
  }
  return random;
}
