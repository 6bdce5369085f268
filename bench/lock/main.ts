/**
 * Measures the lock beside its peers, each measurement on a Redis of its own: `npm run bench --
 * lock [seconds] [part of a scenario's name]`.
 *
 * Peers are installed into a temporary folder, which ONHAND_BENCH_PEERS may name so that it is
 * kept.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startRedis } from '../../lock/fixtures/redis.ts';
import { ours, peerPackages, peers } from './subjects.ts';
import { type Percentiles, percentilesOf, type Waits } from './waits.ts';

interface Scenario {
  readonly name: string;
  readonly processes: number;
  readonly tasks: number;
  readonly keys: number;
  readonly whose: 'own' | 'one';
}

const scenarios: Scenario[] = [
  { name: 'uncontended, 64 tasks', processes: 1, tasks: 64, keys: 1, whose: 'own' },
  { name: 'five keys at once, 64 tasks', processes: 1, tasks: 64, keys: 5, whose: 'own' },
  { name: 'one key, 64 waiters, 1 process', processes: 1, tasks: 64, keys: 1, whose: 'one' },
  { name: 'one key, 64 waiters, 4 processes', processes: 4, tasks: 64, keys: 1, whose: 'one' },
];

interface Figures extends Percentiles {
  readonly perSecond: number;
  readonly fewest: number;
  readonly most: number;
}

/** Everybody is measured so often, in turns, so that what else the machine does meets all alike. */
const rounds = 3;
const seconds = Number(process.argv.slice(2).find((part) => /^\d+$/.test(part)) ?? 3);
const only = process.argv.slice(2).find((part) => !/^\d+$/.test(part)) ?? '';
const folder = installPeers();
const worker = fileURLToPath(new URL('./worker.ts', import.meta.url));
const subjects = [...ours, ...peers];

console.log(`Median of ${rounds} rounds of ${seconds} s each, by operations per second.`);
for (const scenario of scenarios.filter(({ name }) => name.includes(only))) {
  const all = new Map<string, Figures[]>(subjects.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of subjects) all.get(name)?.push(await measure(name, scenario));
  }
  console.log(
    `\n| ${scenario.name} | per second (min–max) | p50 ms | p99 ms | corrected p99 ms | fewest / most turns |`,
  );
  console.log('|---|--:|--:|--:|--:|--:|');
  for (const [name, figures] of all) {
    const ordered = figures.toSorted((a, b) => a.perSecond - b.perSecond);
    const median = ordered[Math.floor(rounds / 2)];
    if (median) console.log(row(name, median, ordered));
  }
}

function row(name: string, figures: Figures, ordered: readonly Figures[]): string {
  const { perSecond, p50, p99, corrected, fewest, most } = figures;
  const ratio = most === 0 ? '–' : (fewest / most).toFixed(2);
  const count = (rate: number) => Math.round(rate).toLocaleString('en');
  const [least, greatest] = [ordered[0], ordered.at(-1)].map((one) => count(one?.perSecond ?? 0));
  const rate = `${count(perSecond)} (${least}–${greatest})`;
  const waits = [p50, p99, corrected].map((ms) => ms.toFixed(2)).join(' | ');
  return `| ${name} | ${rate} | ${waits} | ${fewest}/${most} = ${ratio} |`;
}

async function measure(name: string, scenario: Scenario): Promise<Figures> {
  const server = await startRedis();
  try {
    const each = scenario.tasks / scenario.processes;
    const runs = Array.from({ length: scenario.processes }, (_, at) =>
      start([name, server.port, folder, each, scenario.keys, scenario.whose, seconds, at * each]),
    );
    await Promise.all(runs.map(({ ready }) => ready));
    for (const { child } of runs) child.stdin.write('go\n');
    const answers = await Promise.all(runs.map(({ answer }) => answer));
    const takes = answers.flatMap((answer) => answer.takes);
    const total = takes.reduce((sum, count) => sum + count, 0);
    const waits = answers.map((answer) => answer.waits);
    return {
      perSecond: total / seconds,
      ...percentilesOf(waits, (seconds * 1_000 * scenario.tasks) / total),
      fewest: Math.min(...takes),
      most: Math.max(...takes),
    };
  } finally {
    await server.stop();
  }
}

interface Answer {
  readonly takes: number[];
  readonly waits: Waits;
}

function start(settings: readonly (string | number)[]) {
  const child = spawn(process.execPath, [worker, ...settings.map(String)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ready = lines.next();
  const answer = ready.then(async (): Promise<Answer> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${settings[0]} ended without figures`);
    if (child.exitCode === null) await once(child, 'exit');
    return JSON.parse(value);
  });
  return { child, ready, answer };
}

function installPeers(): string {
  const kept = process.env.ONHAND_BENCH_PEERS;
  if (kept) mkdirSync(kept, { recursive: true });
  const target = kept ?? mkdtempSync(join(tmpdir(), 'onhand-peers-'));
  if (!existsSync(join(target, 'node_modules'))) {
    console.log('installing the peers …');
    execFileSync('npm', ['init', '-y'], { cwd: target, stdio: 'ignore' });
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--legacy-peer-deps'];
    execFileSync('npm', ['install', ...flags, ...peerPackages], { cwd: target, stdio: 'ignore' });
  }
  return target;
}
