import type { Histogram, Registry } from 'prom-client';

interface Definition {
  readonly name: string;
  readonly help: string;
  /** Upper bounds in seconds, ascending. */
  readonly buckets: readonly number[];
  readonly register: Registry;
}

/** The times of one route's answers of one status. */
interface Series {
  readonly labels: { readonly method: string; readonly route: string; readonly status: string };
  /** How many fell into each bucket, and last those beyond the largest; not cumulated. */
  readonly counts: number[];
  sum: number;
}

/**
 * A histogram of request times by method, route and status.
 *
 * prom-client's own looks a label set up by its text and checks it with every observation, which
 * costs a request more than everything else that is measured about it. Here a route keeps its
 * series, and the text is made when somebody scrapes.
 */
export class RequestTimes {
  readonly #definition: Definition;
  readonly #series: Series[] = [];

  constructor(definition: Definition) {
    this.#definition = definition;
    const { name, help } = definition;
    const metric = { name, help, type: 'histogram', get: async () => this.#collect() };
    definition.register.registerMetric(metric as unknown as Histogram);
  }

  /** @returns what to call with each answer of the route: its status, and the seconds it took */
  of(method: string, route: string): (status: number, seconds: number) => void {
    const { buckets } = this.#definition;
    const byStatus: (Series | undefined)[] = [];
    return (status, seconds) => {
      let series = byStatus[status];
      if (series === undefined) {
        series = this.#add({ method, route, status: String(status) });
        byStatus[status] = series;
      }
      let at = 0;
      while (at < buckets.length && seconds > (buckets[at] as number)) at += 1;
      (series.counts[at] as number) += 1;
      series.sum += seconds;
    };
  }

  #add(labels: Series['labels']): Series {
    const counts = new Array<number>(this.#definition.buckets.length + 1).fill(0);
    const series = { labels, counts, sum: 0 };
    this.#series.push(series);
    return series;
  }

  #collect() {
    const { name, help, buckets } = this.#definition;
    const values = this.#series.flatMap(({ labels, counts, sum }) => {
      let below = 0;
      const cumulated = counts.map((count, at) => {
        below += count;
        const le = buckets[at] ?? '+Inf';
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
      });
      return [
        ...cumulated,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: below },
      ];
    });
    return { name, help, type: 'histogram', values, aggregator: 'sum' };
  }
}
