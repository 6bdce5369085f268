import { scenarios } from '../scenarios.ts';
import { titles } from '../subjects/subject.ts';
import type { Report, Result } from './report.ts';
import { spreadOf } from './statistics.ts';
import type { Bar, Chart } from './svg.ts';

/** One chart per scenario that was measured: answers a second, at full load. */
export function charts(report: Report): Chart[] {
  return scenarios.flatMap(({ name, title }) => {
    const bars = report.results
      .filter(({ scenario, load }) => scenario === name && load === 'full')
      .map((result, _, all) => barOf(result, all));
    return bars.length === 0 ? [] : [{ name, title, unit: 'answers a second', bars }];
  });
}

function barOf({ subject, connections, samples }: Result, all: readonly Result[]): Bar {
  const hasSizes = all.some((each) => each.connections !== connections);
  const label = hasSizes ? `${titles[subject]}, ${connections}` : titles[subject];
  return {
    label,
    ...spreadOf(samples.map(({ rate }) => rate)),
    isOurs: subject.startsWith('onhand'),
  };
}
