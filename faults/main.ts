import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { faultPage } from './faultPage.ts';
import { mutants } from './mutants/catalogue.ts';
import { hunt } from './mutants/hunt.ts';
import { type Options, readOptions, UsageError, usage } from './options.ts';
import { type FaultRun, faultRunOf, type MutantRun, mutantRunOf, type Result } from './results.ts';
import { type RunResult, run } from './run.ts';
import { repository } from './supervisor/tree.ts';
import { mixedProfile } from './workload/profile.ts';

/**
 * `npm run faults`: breaks a running service on purpose and checks every promise afterwards.
 *
 * Exits with 0, with 1 when there was an anomaly (or a mutant was not detected), 2 for a wrong
 * command line. Everything it starts ends with it, also when it is killed.
 */

/** Everything heals, settles and is checked after each minute. */
const roundMs = 60_000;

/** Between two faults; about one begins each second, and they overlap. */
const faultPauseMs = { min: 100, max: 900 };

/**
 * Liveness: the time within which every key must be settled once nothing is broken any more. A
 * service does it in about a second; a test machine may be busy.
 */
const settleWithinMs = 60_000;

const say = (line: string) => process.stdout.write(`${line}\n`);

async function main(args: string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options.page !== undefined) return writePage(options.page);
    const results = options.mutants ? await huntAll(options) : await runAll(options);
    return results.every(isGood) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) {
      process.stderr.write(`${(error as Error).stack}\n`);
      return 1;
    }
    const isHelp = error.message === usage;
    process.stderr.write(isHelp ? usage : `faults: ${error.message}\n\n${usage}`);
    return isHelp ? 0 : 2;
  }
}

function isGood(result: Result): boolean {
  return result.kind === 'mutant'
    ? result.detected && result.soundAnomalies === 0
    : result.anomalies.length === 0;
}

async function runAll(options: Options): Promise<FaultRun[]> {
  const results: FaultRun[] = [];
  for (const seed of options.seeds) {
    const services = options.services ?? 1 + (seed % 4);
    say(`seed ${seed}: ${services} services, ${options.minutes} minutes`);
    const result = await runOnce(options, seed, services);
    say(summaryOf(result));
    const kept = faultRunOf(result);
    keep(options, kept);
    results.push(kept);
  }
  return results;
}

function runOnce({ minutes, kinds }: Options, seed: number, services: number): Promise<RunResult> {
  return run({
    seed,
    services,
    kinds,
    forMs: minutes * 60_000,
    roundMs,
    standby: true,
    profile: mixedProfile,
    patches: [],
    faultPauseMs,
    settleWithinMs,
    onLine: (line) => say(`  ${line}`),
  });
}

function summaryOf({ seed, operations, injected, anomalies, settleMs }: RunResult): string {
  const head =
    `seed ${seed}: ${operations} operations, ${injected.length} faults, ` +
    `${anomalies.length} anomalies, settled within ${Math.round(settleMs)} ms`;
  return [head, ...anomalies.map(({ check, message }) => `  ${check}: ${message}`)].join('\n');
}

async function huntAll(options: Options): Promise<MutantRun[]> {
  const results: MutantRun[] = [];
  for (const mutant of mutants) {
    if (options.only.length > 0 && !options.only.includes(mutant.name)) continue;
    const result = mutantRunOf(await hunt(mutant, options.seeds[0] ?? 1));
    const fate = result.detected ? `detected by ${result.by}` : 'NOT DETECTED';
    say(`${mutant.name}: ${fate} after ${result.operations} operations`);
    say(`  ${result.message}`);
    if (result.soundAnomalies > 0) say(`  ${result.soundAnomalies} anomalies without it, too`);
    keep(options, result);
    results.push(result);
  }
  return results;
}

function keep({ record }: Options, result: Result): void {
  if (record !== undefined) appendFileSync(record, `${JSON.stringify(result)}\n`);
}

function writePage(file: string): number {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const results = lines.map((line) => JSON.parse(line) as Result);
  writeFileSync(path.join(repository, 'docs', 'faults.md'), faultPage(results));
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
