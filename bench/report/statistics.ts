/** A median with the range it was taken from. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @param values at least one */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)] ?? Number.NaN;
  const high = sorted[Math.ceil(middle)] ?? Number.NaN;
  return {
    median: (low + high) / 2,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  };
}

/**
 * The ratio of two subjects, round by round: what disturbed a round disturbed both.
 * @returns undefined when they share no round
 */
export function ratioOf(
  above: readonly number[] | undefined,
  below: readonly number[] | undefined,
): Spread | undefined {
  const rounds = Math.min(above?.length ?? 0, below?.length ?? 0);
  if (rounds === 0) return undefined;
  const ratios = Array.from({ length: rounds }, (_, at) => {
    return (above?.[at] ?? Number.NaN) / (below?.[at] ?? Number.NaN);
  });
  return spreadOf(ratios);
}
