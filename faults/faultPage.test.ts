import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultPage } from './faultPage.ts';
import type { Result } from './results.ts';

const results: Result[] = [
  {
    kind: 'faults',
    seed: 7,
    services: 2,
    minutes: 1.25,
    operations: 12_345,
    attempts: 20_000,
    reads: 300,
    outcomes: {},
    faults: { 'kill-service': { count: 4, recoveryMs: 900 }, delay: { count: 6 } },
    anomalies: [],
    settleMs: 250,
    diskReason: 'needs root to mount a small disk',
  },
  {
    kind: 'mutant',
    name: 'clamped-quantity',
    what: 'a defect',
    detected: true,
    by: 'effect',
    message: '',
    operations: 800,
    faults: 0,
    seconds: 12,
    soundAnomalies: 0,
  },
];

test('the page has the totals, each fault, each mutant, and what was not tested and why', () => {
  const page = faultPage(results);
  assert.match(page, /10 faults in 1 runs, 12 345 operations/);
  assert.match(page, /\| 7 \| 2 \| 1\.3 \| 12 345 \| 20 000 \| 10 \| 0 \| 250 ms \|/);
  assert.match(page, /--seeds 7 --record FILE/);
  assert.match(page, /\| `kill-service` \| .* \| 4 \| 900 ms \|/);
  assert.match(page, /\| `delay` \| .* \| 6 \| not measured \|/);
  assert.match(page, /\| `clamped-quantity` \| a defect \| by \*effect\* \| 800 operations/);
  assert.match(page, /- A full disk: needs root/);
});
