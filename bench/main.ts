import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Options, readOptions, UsageError, usage } from './options.ts';
import { writeDocs } from './report/docs.ts';
import { describeMachine } from './report/machine.ts';
import { markdown } from './report/markdown.ts';
import type { Books, Report } from './report/report.ts';
import { startRig } from './rig.ts';
import { chooseLoad, Run } from './run.ts';
import { type Subjects, startSubjects } from './subjects/start.ts';
import type { Subject } from './subjects/subject.ts';

/**
 * `npm run bench`: exits with 0 when the books were right, 1 when not, 2 for a wrong command line.
 */

const docsFolder = path.resolve(import.meta.dirname, '..', 'docs');
const say = (line: string) => void process.stderr.write(`${line}\n`);

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const [first = '', ...rest] = args;
  const own = ownBench(first);
  if (own !== undefined) return runOwn(own, rest);
  try {
    const options = readOptions(args);
    const report =
      options.from === undefined
        ? await measureAll(options, args)
        : (JSON.parse(readFileSync(options.from, 'utf8')) as Report);
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(report, null, 1));
    process.stdout.write(markdown(report));
    if (options.docs) for (const file of writeDocs(docsFolder, report)) say(`wrote ${file}`);
    return report.books.every(({ fault }) => fault === null) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(error.message === usage ? usage : `bench: ${error.message}\n\n${usage}`);
    return error.message === usage ? 0 : 2;
  }
}

/** The benchmark of a package, in a folder of its name. */
function ownBench(name: string): string | undefined {
  if (!/^[a-z]+$/.test(name)) return undefined;
  const file = path.join(import.meta.dirname, name, 'main.ts');
  return existsSync(file) ? file : undefined;
}

function runOwn(file: string, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [file, ...args], { stdio: 'inherit' });
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

async function measureAll(options: Options, args: readonly string[]): Promise<Report> {
  const began = new Date();
  const load = chooseLoad();
  say(`starting the servers; load from ${load.name}`);
  const rig = await startRig(options.folder);
  let subjects: Subjects | undefined;
  let cleaned: Promise<void> | undefined;
  const cleanOnce = async () => {
    await subjects?.stop();
    await rig.stop();
  };
  const clean = () => {
    cleaned ??= cleanOnce();
    return cleaned;
  };
  stopOnSignals(clean);
  try {
    const machine = await describeMachine(rig);
    subjects = await startSubjects(rig, {
      names: new Set(options.scenarios.flatMap((scenario) => scenario.subjects)),
      replays: options.scenarios.some(({ requests }) => requests.kind === 'replay'),
      ledgerMovements: options.ledgerMovements,
      say,
    });
    const results = await new Run(rig, subjects, load.run, options).rounds(say);
    const books = await checkBooks(subjects);
    return {
      command: ['npm run bench --', ...args].join(' ').replace(/ --$/, ''),
      startedAt: began.toISOString(),
      minutes: (Date.now() - began.getTime()) / 60_000,
      machine,
      load: load.name,
      rounds: options.rounds,
      seconds: options.seconds,
      warmUpSeconds: options.warmUpSeconds,
      ledgerMovements: options.ledgerMovements,
      results,
      books,
      missing: subjects.missing,
    };
  } finally {
    await clean();
  }
}

/** The databases are gigabytes; a run that is given up does not leave them behind. */
function stopOnSignals(clean: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      say(`${signal}: cleaning up`);
      clean().finally(() => process.exit(1));
    });
  }
}

/** Whether what was counted is in the books: the subjects of one database are checked once. */
async function checkBooks(subjects: Subjects): Promise<Books[]> {
  say('checking the books');
  const books: Books[] = [];
  const checked = new Set<Subject['check']>();
  for (const { name: subject, check } of subjects.all) {
    if (check === undefined || checked.has(check)) continue;
    checked.add(check);
    try {
      books.push({ subject, movements: (await check()).movements, fault: null });
    } catch (error) {
      books.push({ subject, movements: 0, fault: (error as Error).message });
    }
  }
  return books;
}
