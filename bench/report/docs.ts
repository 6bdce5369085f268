import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { charts } from './charts.ts';
import { markdown } from './markdown.ts';
import type { Report } from './report.ts';
import { barChart } from './svg.ts';

const begin = '<!-- Written by `npm run bench -- --docs`. -->';
const end = '<!-- End of what is written. -->';

const opening = `# Benchmarks

Onhand beside what people would use instead, all in one run on one machine. To repeat it:

\`\`\`
npm run bench -- --quick     # about two minutes
npm run bench                # everything
\`\`\`
`;

/** Replaces the measured part of docs/benchmarks.md and its charts; the rest of the page stays. */
export function writeDocs(docs: string, report: Report): string[] {
  const page = path.join(docs, 'benchmarks.md');
  const folder = path.join(docs, 'benchmarks');
  mkdirSync(folder, { recursive: true });
  const drawn = charts(report).map((chart) => {
    const file = path.join(folder, `${chart.name}.svg`);
    writeFileSync(file, barChart(chart));
    return file;
  });
  const before = existsSync(page) ? readFileSync(page, 'utf8') : `${opening}\n${begin}\n${end}\n`;
  writeFileSync(page, replaceMeasured(before, markdown(report, 'benchmarks')));
  return [page, ...drawn];
}

/** @throws when the page has lost the marks between which it is written */
export function replaceMeasured(page: string, measured: string): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`the page must hold ${begin} and then ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${measured}\n${page.slice(to)}`;
}
