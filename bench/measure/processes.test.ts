import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { findProgram } from '../load/load.ts';
import { cpuOf, memoryOf, type Process, readProcesses, readPs } from './processes.ts';

const child = (script: string) => execFileSync(process.execPath, ['--eval', script]);

test('CPU that this process uses is counted, in seconds', async () => {
  const before = cpuOf(await readProcesses(), [process.pid]);
  const start = process.cpuUsage();
  while (usedSince(start) < 0.2);
  const used = usedSince(start);
  const counted = cpuOf(await readProcesses(), [process.pid]) - before;
  // Rounded down to a tick at both ends, and reading them takes some as well.
  assert.ok(counted > used - 0.05 && counted < used + 1, `${counted} s of ${used} s`);
});

function usedSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

test('CPU of a child that has ended counts for its parent', async () => {
  const own = async () => (await readProcesses()).find(({ pid }) => pid === process.pid);
  const before = (await own())?.childrenCpu ?? 0;
  child('const end = process.cpuUsage; while (end().user + end().system < 200_000);');
  assert.ok(((await own())?.childrenCpu ?? 0) - before > 0.17);
});

test('children count with their parent, and strangers do not', () => {
  const one = { childrenCpu: 0, memory: 10 };
  const all: Process[] = [
    { ...one, pid: 10, parent: 1, cpu: 1, childrenCpu: 4 },
    { ...one, pid: 11, parent: 10, cpu: 2 },
    { ...one, pid: 12, parent: 1, cpu: 8 },
  ];
  assert.equal(cpuOf(all, [10]), 7);
  assert.equal(memoryOf(all, [10]), 10);
});

test('memory is what Node says of itself', async () => {
  const memory = memoryOf(await readProcesses(), [process.pid]);
  const { rss } = process.memoryUsage();
  assert.ok(Math.abs(memory - rss) < rss / 4, `${memory} against ${rss}`);
});

test('where there is no /proc, ps says the same', { skip: !findProgram('ps') }, async () => {
  const self = (await readPs()).find(({ pid }) => pid === process.pid);
  const { rss } = process.memoryUsage();
  assert.equal(self?.parent, process.ppid);
  assert.ok(Math.abs(self.memory - rss) < rss / 4);
  assert.ok(Math.abs(self.cpu - process.cpuUsage().user / 1e6) < 3);
});
