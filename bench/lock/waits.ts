/** Waits of one process, in ms. */
export interface Waits {
  /** Ended within the round, each for {@link weight} of them. */
  readonly ended: readonly number[];
  readonly weight: number;
  /** Still open when the round ended: how long they had lasted by then. */
  readonly open: readonly number[];
}

/** Percentiles of the waits of all processes, in ms. */
export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  /** 99th percentile without coordinated omission, see {@link percentilesOf}. */
  readonly corrected: number;
}

type Weighted = readonly [ms: number, weight: number];

/**
 * The plain percentiles look only at waits that ended, so who keeps some waiting and serves the
 * rest quickly looks quick: those who wait begin no other wait meanwhile (coordinated omission, Gil
 * Tene). The corrected one counts also the waits still open when the round ended, and lets a wait
 * stand for those that would have begun during it, as HdrHistogram's
 * `recordValueWithExpectedInterval` does: of a wait `w` and an interval `i` also `w − i`, `w − 2i`,
 * … down to `i`.
 * @param intervalMs in which a task begins one wait on average
 */
export function percentilesOf(all: readonly Waits[], intervalMs: number): Percentiles {
  const ended = all.flatMap((waits) => waits.ended.map((ms): Weighted => [ms, waits.weight]));
  const open = all.flatMap((waits) => waits.open.map((ms): Weighted => [ms, 1]));
  const corrected = [...ended, ...open].flatMap(([ms, weight]) => spread(ms, weight, intervalMs));
  const [p50 = Number.NaN, p99 = Number.NaN] = quantiles(ended, [0.5, 0.99]);
  return { p50, p99, corrected: quantiles(corrected, [0.99])[0] ?? Number.NaN };
}

function spread(ms: number, weight: number, intervalMs: number): Weighted[] {
  const all: Weighted[] = [[ms, weight]];
  for (let rest = ms - intervalMs; rest >= intervalMs; rest -= intervalMs) all.push([rest, weight]);
  return all;
}

/** @param parts ascending, below 1 */
function quantiles(values: readonly Weighted[], parts: readonly number[]): number[] {
  const sorted = values.toSorted(([a], [b]) => a - b);
  const total = sorted.reduce((sum, [, weight]) => sum + weight, 0);
  let at = 0;
  let below = sorted[0]?.[1] ?? 0;
  return parts.map((part) => {
    while (below <= total * part && at < sorted.length - 1) below += sorted[++at]?.[1] ?? 0;
    return sorted[at]?.[0] ?? Number.NaN;
  });
}
