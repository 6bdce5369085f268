import { scenarios } from '../scenarios.ts';
import { titles } from '../subjects/subject.ts';
import { charts } from './charts.ts';
import { milliseconds, number, spread, table } from './format.ts';
import type { Report, Result } from './report.ts';
import { ratioOf, type Spread, spreadOf } from './statistics.ts';
import { type Judged, judge } from './targets.ts';

/**
 * What a run found, as Markdown.
 * @param chartFolder of the SVG files, from the page; none = no charts
 */
export function markdown(report: Report, chartFolder?: string): string {
  const parts = [
    `## Targets\n\n${targetTable(report)}`,
    booksLine(report),
    ...scenarios.map(({ name, title }) => section(report, name, title, chartFolder)),
    `## How this was measured\n\n${method(report)}`,
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

export function targetTable(report: Report): string {
  const shown = (value: Spread | undefined) => (value === undefined ? '–' : spread(value));
  const rows = judge(report).map((each) => [
    each.sentence,
    wantedOf(each),
    shown(each.value),
    each.verdict,
    shown(each.floor),
  ]);
  return table(['target', 'wanted', 'median (min–max)', '', 'the least it takes'], rows);
}

function wantedOf({ bound, wanted, unit }: Judged): string {
  const value = unit === '×' ? `${wanted}` : `${number(wanted)} /s`;
  return `${bound === 'least' ? '≥' : '≤'} ${value}`;
}

function booksLine({ books }: Report): string {
  const lines = books.map(({ subject, movements, fault }) => {
    const found = fault ?? `${movements.toLocaleString('en')} movements, no fault`;
    return `- ${titles[subject]}: ${found}`;
  });
  if (lines.length === 0) return '';
  return `After all loads the books were checked, Onhand’s by its own \`verify\`:\n\n${lines.join('\n')}`;
}

function section(
  report: Report,
  name: string,
  title: string,
  chartFolder: string | undefined,
): string {
  const results = report.results.filter(({ scenario }) => scenario === name);
  if (results.length === 0) return '';
  const head = [
    'subject',
    'connections',
    'answers/s',
    'ratio',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'CPU µs: service',
    'PostgreSQL',
    'Redis',
    'load',
    'memory MiB',
    'WAL B/movement',
    'failed',
  ];
  const rows = results.map((result) => rowOf(result, results));
  const note = '`ratio` is the rate over that of the first subject at as many connections.';
  const names = chartFolder === undefined ? [] : charts(report).map((chart) => chart.name);
  const image = names.includes(name) ? `![${title}](${chartFolder}/${name}.svg)\n\n` : '';
  return `## ${title}\n\n${image}${table(head, rows)}\n\n${note}`;
}

function rowOf(result: Result, all: readonly Result[]): string[] {
  const { samples, subject, connections, load } = result;
  const median = (of: (sample: (typeof samples)[number]) => number) =>
    spreadOf(samples.map(of)).median;
  const rates = samples.map(({ rate }) => rate);
  const first = all.find((each) => each.connections === connections && each.load === 'full');
  const ratio = ratioOf(
    rates,
    first?.samples.map(({ rate }) => rate),
  );
  const wal = samples.flatMap(({ walPerMovement }) => walPerMovement ?? []);
  return [
    load === 'half' ? `${titles[subject]}, at half load` : titles[subject],
    String(connections),
    spread(spreadOf(rates)),
    ratio === undefined ? '–' : number(ratio.median),
    milliseconds(median(({ p50 }) => p50)),
    milliseconds(median(({ p99 }) => p99)),
    milliseconds(median(({ p999 }) => p999)),
    number(median(({ cpu }) => cpu.service)),
    number(median(({ cpu }) => cpu.postgres)),
    number(median(({ cpu }) => cpu.redis)),
    number(median(({ cpu }) => cpu.load)),
    number(median(({ memory }) => memory) / 2 ** 20),
    wal.length === 0 ? '–' : number(spreadOf(wal).median),
    String(samples.reduce((sum, { refused, broken }) => sum + refused + broken, 0)),
  ];
}

function method(report: Report): string {
  const { machine } = report;
  const settings = Object.entries(machine.postgresSettings)
    .map(([name, value]) => `${name} = ${value}`)
    .join(', ');
  const lines = [
    `Command: \`${report.command}\`, started ${report.startedAt}, ${number(report.minutes)} minutes.`,
    `${report.rounds} interleaved rounds of ${report.seconds} s, after ${report.warmUpSeconds} s of each kind of request on each server; load from ${report.load}, on the same machine over loopback.`,
    `Machine: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}; load average before the run ${number(machine.loadBefore)}.`,
    `Versions: Node ${machine.node}, Fastify ${machine.fastify}, PostgreSQL ${machine.postgres}.`,
    `PostgreSQL is one server for all subjects: ${settings}. Writing 8 KiB durably takes ${number(machine.syncMs)} ms there.`,
    'The load is closed: a connection sends its next request when it has the answer. At half load every connection pauses, so that the subject gets half of what it took at full load.',
    'Ratios are medians of the ratios of each round. CPU is that of all processes of a kind per answer. The WAL includes what the server writes on its own meanwhile.',
    `Before the load the large ledger held ${report.ledgerMovements.toLocaleString('en')} movements, written by SQL, and the small one a hundredth of it.`,
    'The sessions of pgbench are new each time, so its first seconds are not counted; their CPU is.',
    ...report.missing.map((line) => `Left out: ${line}.`),
  ];
  return lines.map((line) => `- ${line}`).join('\n');
}
