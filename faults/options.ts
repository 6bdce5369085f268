import { parseArgs } from 'node:util';
import { allFaultKinds, type FaultKind } from './injection/catalogue.ts';
import { mutants } from './mutants/catalogue.ts';

/** What `npm run faults` was asked for. */
export interface Options {
  /** How long faults are injected for each seed. */
  readonly minutes: number;
  readonly seeds: readonly number[];
  readonly kinds: readonly FaultKind[];
  /** undefined: 1 to 4, by the seed. */
  readonly services: number | undefined;
  readonly mutants: boolean;
  /** Names of mutants; none: all. */
  readonly only: readonly string[];
  /** Results are added to this file, one JSON a line. */
  readonly record: string | undefined;
  /** Writes docs/faults.md from this file of results, and runs nothing. */
  readonly page: string | undefined;
}

export const usage = `npm run faults -- [--minutes N] [--seed S] [--seeds S,S,…] [--services 1-4] [--faults kind,kind,…]
npm run faults -- --mutants [name …]
Add --record FILE to keep the results; --page FILE writes docs/faults.md from them.

Kinds: ${allFaultKinds.join(', ')}
Mutants: ${mutants.map(({ name }) => name).join(', ')}
`;

/** The command line cannot be used, or asks how it can: then its text is {@link usage}. */
export class UsageError extends Error {}

const secondsPerYear = 31_536_000;

export function readOptions(args: string[]): Options {
  const { values, positionals } = parse(args);
  if (values.help) throw new UsageError(usage);
  const minutes = numberOf('minutes', values.minutes, 0.05, 24 * 60);
  const services =
    values.services === undefined ? undefined : numberOf('services', values.services, 1, 4);
  return {
    minutes,
    services,
    seeds: seedsOf(values.seeds ?? values.seed),
    kinds: kindsOf(values.faults),
    mutants: values.mutants,
    only: mutantsOf(positionals, values.mutants),
    record: values.record,
    page: values.page,
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        minutes: { type: 'string', default: '2' },
        seed: { type: 'string' },
        seeds: { type: 'string' },
        services: { type: 'string' },
        faults: { type: 'string' },
        mutants: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        record: { type: 'string' },
        page: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} must be from ${min} to ${max}, not ${text}`);
}

/** Without one, each run has another: it is printed, and repeats the run's choices. */
function seedsOf(text: string | undefined): number[] {
  if (text === undefined) return [Math.floor(Date.now() / 1000) % secondsPerYear];
  return text.split(',').map((seed) => numberOf('seed', seed, 0, 2 ** 32 - 1));
}

function kindsOf(text: string | undefined): FaultKind[] {
  if (text === undefined) return allFaultKinds;
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      const kind = allFaultKinds.find((each) => each === name);
      if (kind === undefined) throw new UsageError(`there is no fault ${name}`);
      return kind;
    });
}

/** @throws UsageError for a name of none: a hunt for nothing would find everything */
function mutantsOf(names: string[], isHunt: boolean): string[] {
  const unknown = names.find((name) => !isHunt || mutants.every((each) => each.name !== name));
  if (unknown === undefined) return names;
  throw new UsageError(isHunt ? `there is no mutant ${unknown}` : `${unknown} is no option`);
}
