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
npm run bench -- --quick              # four minutes
npm run bench -- --medusa --docs      # everything; rewrites this page and its charts
npm run bench -- hot tenants          # some scenarios; --help lists them
\`\`\`

| subject | what it is |
| --- | --- |
| bare Fastify route | the same schemas and validator, and nothing behind them: the ceiling |
| the least it takes | the bare route, a claim in Redis and the rows that Onhand writes, by its own statements in batches that follow each other; nothing is looked up, compared, decided, chained or locked in Redis (\`bench/subjects/floor\`). Beside Onhand without Redis it has no claim either. What is above it is out of reach of any service that keeps these rows on that machine |
| Onhand | \`inventory/main.ts\` with default settings, on PostgreSQL and Redis |
| Onhand without Redis | the same with claims in memory |
| classic design | a small server, \`bench/subjects/classic\`: per request a lock in Redis (\`SET NX PX\`, release by script), then one transaction: \`INSERT\` key, \`SELECT … FOR UPDATE\`, \`UPDATE\`, \`INSERT\` movement. No fingerprint, hash chain, expiry or metrics, and no look-up of the API key |
| pgbench | the SQL of the classic design with prepared statements, without HTTP and Redis |
| Medusa | its inventory module with its Redis lock behind the same route; no idempotency key, no ledger |

What is slow on a laptop is slow for all of them: compare ratios, not figures of different machines.
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
