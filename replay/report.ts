import type { MemoryWatch } from './memory.ts';
import type { Plan } from './plan.ts';
import { type Check, count } from './proof.ts';
import type { Tally } from './tally.ts';

export interface Report {
  readonly plan: Plan;
  readonly tally: Tally;
  /** Of sending the invoices, without opening and proof. */
  readonly seconds: number;
  readonly memory: MemoryWatch | undefined;
  readonly checks: readonly Check[];
}

/** The table that ends a run. */
export function reportText(report: Report): string {
  const rows = [...historyRows(report), ...answerRows(report), ...speedRows(report)];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  const table = rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`);
  const checks = report.checks.map(
    ({ passed, sentence }) => `  ${passed ? 'ok    ' : 'FAILED'}  ${sentence}`,
  );
  return ['', ...table, '', ...checks, ''].join('\n');
}

type Row = [name: string, value: string];

function historyRows({ plan }: Report): Row[] {
  const empty = plan.empty === 0 ? '' : `, ${count(plan.empty)} of them without units`;
  const { name, warehouse } = plan.run;
  return [
    ['run', `${name}, in warehouse ${warehouse}`],
    ['invoices', `${count(plan.orders)}${empty}`],
    ['invoice lines', `${count(plan.lines)} of ${count(plan.leaving.size)} stock codes`],
  ];
}

function answerRows({ tally }: Report): Row[] {
  return [
    ['requests', count(tally.requests)],
    ['accepted', count(tally.accepted)],
    ['movements', count(tally.movements)],
    ['repeats', count(tally.repeats)],
    ['replays', `${count(tally.replayed)} answers with Idempotent-Replayed`],
    ['refusals', countsText(tally.refusals)],
    ['retries', countsText(tally.retries)],
  ];
}

function countsText(counts: ReadonlyMap<string, number>): string {
  const parts = [...counts].map(([name, times]) => `${name} ${count(times)}`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

function speedRows({ tally, seconds, memory }: Report): Row[] {
  const perSecond = (value: number) => count(Math.round(value / Math.max(seconds, 0.001)));
  const at = (percentile: number) => milliseconds(tally.latency.percentile(percentile));
  const rows: Row[] = [
    ['duration', `${seconds.toFixed(1)} s`],
    ['rate', `${perSecond(tally.requests)} requests/s, ${perSecond(tally.movements)} movements/s`],
    ['latency', `p50 ${at(50)}, p99 ${at(99)}, p99.9 ${at(99.9)}, max ${maxOf(tally)}`],
  ];
  if (memory === undefined) return rows;
  const tenths = memory.tenthsMiB.map((mebibytes) => Math.round(mebibytes));
  return [
    ...rows,
    ['service memory', `peak ${Math.round(memory.peakMiB)} MiB resident`],
    ['  at 0, 10 … 100 %', `${tenths.join(', ')} MiB`],
  ];
}

function maxOf({ latency }: Tally): string {
  return latency.count === 0 ? '–' : milliseconds(latency.max);
}

function milliseconds(microseconds: number): string {
  return `${(microseconds / 1_000).toFixed(1)} ms`;
}
