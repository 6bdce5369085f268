import { randomBytes } from 'node:crypto';

// 12 bits of counter start in their lower half, so that a millisecond holds 2,048 ids or more
// before the counter would carry into the next millisecond.
const COUNTER_MAX = 0xfff;
const COUNTER_START_MASK = 0x7ff;

// Random digits a pool at a time: one draw per id would cost more than the id.
const DIGITS = 16;
const POOL_BYTES = 4_096;
const VARIANTS = '89ab';

let lastMs = 0;
let counter = 0;
/** `lastMs` as the first 13 characters of an id. */
let time = '';
let random = '';
let randomUsed = 0;

/**
 * A UUIDv7, increasing within this process (RFC 9562, section 6.2, method 1: a counter in rand_a).
 * @param now milliseconds since the epoch; an earlier one than before counts as the latest
 */
export function uuidv7(now: number): string {
  const digits = randomDigits();
  if (now > lastMs) {
    setTime(now);
    counter = Number.parseInt(digits.slice(0, 3), 16) & COUNTER_START_MASK;
  } else if (counter < COUNTER_MAX) {
    counter += 1;
  } else {
    setTime(lastMs + 1);
    counter = 0;
  }
  const count = (counter + 0x7000).toString(16);
  const variant = VARIANTS[Number.parseInt(digits[3] as string, 16) & 3];
  return `${time}-${count}-${variant}${digits.slice(4, 7)}-${digits.slice(7, 19)}`;
}

function setTime(ms: number): void {
  lastMs = ms;
  const hex = ms.toString(16).padStart(12, '0');
  time = `${hex.slice(0, 8)}-${hex.slice(8)}`;
}

/** @returns 19 hexadecimal digits: 3 for a counter's start, 16 for the id */
function randomDigits(): string {
  if (randomUsed + 3 + DIGITS > random.length) {
    random = randomBytes(POOL_BYTES).toString('hex');
    randomUsed = 0;
  }
  const digits = random.slice(randomUsed, randomUsed + 3 + DIGITS);
  randomUsed += 3 + DIGITS;
  return digits;
}
