/**
 * Runs the conformance checker against a small server built with each layer:
 * `npm ci --prefix bench/idempotency/peers && node bench/idempotency/compare.ts`. Prints Markdown.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checks, runChecks } from '../../conformance/index.ts';
import { RedisServer } from '../../idempotency/testing/redis-server.ts';

const peers = join(import.meta.dirname, 'peers');
const { dependencies } = JSON.parse(readFileSync(join(peers, 'package.json'), 'utf8'));
const subjects = {
  onhand: '@onhand/idempotency',
  'express-idempotency': named('express-idempotency'),
  'idempotency-backend': named('idempotency-backend'),
  powertools: named('@aws-lambda-powertools/idempotency'),
};
const signs = { pass: 'pass', fail: '**fail**', 'not-applicable': '–' };

const redis = await RedisServer.start();
const folder = await mkdtemp(join(tmpdir(), 'idempotency-compare-'));
const columns: string[][] = [];
const reasons: string[] = [];
for (const [file, name] of Object.entries(subjects)) {
  const { child, url } = await start(file);
  const results = await runChecks({
    url: `${url}/things`,
    otherUrl: `${url}/others`,
    body: { reference: 'PO-1', lines: [{ product: 'SKU-1', quantity: 5 }] },
    headers: [['Authorization', 'one']],
    secondCredential: ['Authorization', 'two'],
    observe: `${url}/count`,
    settleMs: 2_000,
  });
  columns.push(results.map((result) => signs[result.verdict]));
  for (const { check, verdict, reason } of results) {
    if (verdict === 'fail') reasons.push(`- ${name}, \`${check.id}\`: ${reason}`);
  }
  child.kill();
}
await redis.stop();
await rm(folder, { recursive: true });

console.log(`| check | ${Object.values(subjects).join(' | ')} |`);
console.log(`|---|${'---|'.repeat(columns.length)}`);
checks.forEach((check, i) => {
  console.log(`| ${check.title} | ${columns.map((column) => column[i]).join(' | ')} |`);
});
console.log(`\n${reasons.join('\n')}`);

function named(dependency: string): string {
  return `${dependency} ${dependencies[dependency]}`;
}

async function start(file: string) {
  const child = spawn(process.execPath, [join(peers, `${file}.mjs`), redis.socket], {
    stdio: ['ignore', 'pipe', 'ignore'],
    // One of them writes a file where it runs.
    cwd: folder,
  });
  const [line] = await once(child.stdout, 'data');
  return { child, url: `http://127.0.0.1:${/(\d+)/.exec(String(line))?.[1]}` };
}
