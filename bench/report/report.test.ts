import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Sample } from '../measure/sample.ts';
import type { SubjectName } from '../subjects/subject.ts';
import { replaceMeasured, writeDocs } from './docs.ts';
import { markdown } from './markdown.ts';
import type { Report, Result } from './report.ts';
import { judge } from './targets.ts';

function result(scenario: string, subject: SubjectName, rates: number[]): Result {
  const cpu = { service: 10, postgres: 5, redis: 1, load: 2 };
  const rest = { seconds: 1, refused: 0, broken: 0, p50: 1_000, p99: 2_000, p999: 3_000 };
  const samples = rates.map(
    (rate, at): Sample => ({
      ...rest,
      round: at + 1,
      rate,
      answers: rate,
      cpu,
      memory: 100,
      walPerMovement: 900,
    }),
  );
  return { scenario, subject, connections: 128, load: 'full', samples };
}

function reportOf(...results: Result[]): Report {
  const machine = {
    processor: 'a processor',
    cores: 2,
    memoryGiB: 8,
    system: 'a system',
    node: 'v24',
    fastify: '5',
    postgres: '18',
    postgresSettings: { fsync: 'on' },
    syncMs: 1,
    loadBefore: 0,
  };
  const books = [{ subject: 'onhand' as const, movements: 7, fault: null }];
  return {
    command: 'npm run bench',
    startedAt: '2026-11-23T10:00:00.000Z',
    minutes: 1,
    machine,
    load: 'wrk',
    rounds: 1,
    seconds: 1,
    warmUpSeconds: 1,
    ledgerMovements: 1,
    results,
    books,
    missing: ['pgbench is not installed'],
  };
}

test('a target is met, not met or not measured, and never met by what was not measured', () => {
  const judged = judge(
    reportOf(result('hot', 'onhand', [1_000, 1_200]), result('hot', 'classic', [50, 300])),
  );
  const verdict = (text: string) => judged.find(({ sentence }) => sentence === text)?.verdict;
  assert.equal(verdict('Hot product ÷ the classic design'), 'met');
  assert.equal(verdict('Hot product ÷ pgbench'), 'not measured');
  const slow = judge(reportOf(result('hot', 'onhand', [499]), result('hot', 'classic', [50])));
  assert.equal(slow.filter((each) => each.verdict === 'not met').length, 1);
});

test('the tables hold medians with their range, and what was left out', () => {
  const text = markdown(reportOf(result('hot', 'onhand', [1_000, 3_000, 2_000])));
  assert.match(text, /\| Onhand \| 128 \| 2,000 \(1,000–3,000\) \|/);
  assert.match(text, /Left out: pgbench is not installed/);
  assert.match(text, /Onhand: 7 movements, no fault/);
});

test('the page is written between its marks and keeps the rest', (t) => {
  const docs = mkdtempSync(path.join(os.tmpdir(), 'onhand-docs-'));
  t.after(() => rmSync(docs, { recursive: true }));
  const report = reportOf(result('hot', 'onhand', [2_000]));
  const page = path.join(docs, 'benchmarks.md');
  writeDocs(docs, report);
  writeFileSync(page, `${readFileSync(page, 'utf8')}\nWritten by hand.\n`);
  writeDocs(docs, report);
  const text = readFileSync(page, 'utf8');
  assert.match(text, /Written by hand/);
  assert.equal(text.match(/## Targets/g)?.length, 1);
  assert.match(text, /!\[.*\]\(benchmarks\/hot\.svg\)/);
  assert.match(
    readFileSync(path.join(docs, 'benchmarks', 'hot.svg'), 'utf8'),
    /<rect class="ours"/,
  );
  assert.throws(() => replaceMeasured('no marks', ''), /must hold/);
});
