/**
 * Sums of quantities that are exact or absent.
 *
 * Every quantity is a safe integer. A sum beyond that range is not computed: it is NaN, which
 * stays NaN in every further sum, compares false with everything and ends as `quantity-overflow`.
 */

/**
 * 9 007 199 254 740 991, the largest integer that JSON readers keep exact (RFC 8259, section 6).
 */
export const quantityMax = Number.MAX_SAFE_INTEGER;

/** @returns `a + b`, or NaN where the sum's magnitude is beyond `quantityMax` */
export function add(a: number, b: number): number {
  const beyond = b > 0 ? a > quantityMax - b : a < -quantityMax - b;
  return beyond ? Number.NaN : a + b;
}

/** @returns `a − b`, or NaN where the difference's magnitude is beyond `quantityMax` */
export function subtract(a: number, b: number): number {
  return add(a, negate(b));
}

/** `0 − a` and not `−a`: a change of 0 must not become `−0`. */
export function negate(a: number): number {
  return 0 - a;
}

/** For terms of either sign, whose running sum may leave the range and come back. */
export function sumExactly(terms: Iterable<number>): number {
  let sum = 0n;
  for (const term of terms) sum += BigInt(term);
  const magnitude = sum < 0n ? -sum : sum;
  return magnitude > BigInt(quantityMax) ? Number.NaN : Number(sum);
}
