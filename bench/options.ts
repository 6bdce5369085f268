import os from 'node:os';
import { parseArgs } from 'node:util';
import { type Scenario, scenarios } from './scenarios.ts';

/** What the command line asks for. */
export interface Options {
  readonly scenarios: readonly Scenario[];
  readonly rounds: number;
  /** Of each measurement, whole. */
  readonly seconds: number;
  /** Of each server with each kind of request before the first round, whole. */
  readonly warmUpSeconds: number;
  readonly isQuick: boolean;
  readonly medusa: boolean;
  /** Movements that the large ledger holds before the load. */
  readonly ledgerMovements: number;
  /** Where the databases go while it runs. */
  readonly folder: string;
  /** Takes all samples, as JSON. */
  readonly json: string | undefined;
  /** Writes docs/benchmarks.md and its charts. */
  readonly docs: boolean;
  /** Reports on this file of an earlier run instead of measuring. */
  readonly from: string | undefined;
}

export const usage = `npm run bench -- [scenario …] [options]

  --quick              four minutes: 3 rounds of 1 s of the most telling scenarios
  --rounds N           interleaved rounds, default 5
  --seconds N          of each measurement, default 5
  --warm-up N          seconds of load on each server before the first round, default 20: V8 compiles
                       what runs a hundred times a second for as long, and PostgreSQL maps its memory
  --medusa             also Medusa's inventory module, installed in a temporary folder
  --ledger-movements N in the large ledger, default 10000000
  --folder DIR         for the databases while it runs, default ${os.tmpdir()}; not in memory
  --json FILE          writes every sample
  --docs               writes docs/benchmarks.md and its charts
  --from FILE          reports on the JSON of an earlier run, measures nothing

scenarios: ${scenarios.map(({ name }) => name).join(' ')}
also: lock (that package alone, with options of its own)
`;

/** The command line cannot be used, or asks how it can. */
export class UsageError extends Error {}

export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args);
  if (values.help === true) throw new UsageError(usage);
  const isQuick = values.quick === true;
  const medusa = values.medusa === true;
  const ledgerMovements = count('ledger-movements', values['ledger-movements'] ?? '10000000', 1e8);
  return {
    scenarios: select(positionals, isQuick, medusa),
    rounds: count('rounds', values.rounds ?? (isQuick ? '3' : '5'), 100),
    seconds: count('seconds', values.seconds ?? (isQuick ? '1' : '5'), 600),
    warmUpSeconds: count('warm-up', values['warm-up'] ?? (isQuick ? '1' : '20'), 600),
    isQuick,
    medusa,
    ledgerMovements,
    folder: values.folder ?? os.tmpdir(),
    json: values.json,
    docs: values.docs === true,
    from: values.from,
  };
}

function parse(args: readonly string[]) {
  const flag = { type: 'boolean' } as const;
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: flag,
        quick: flag,
        medusa: flag,
        docs: flag,
        rounds: text,
        seconds: text,
        'warm-up': text,
        'ledger-movements': text,
        folder: text,
        json: text,
        from: text,
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Named ones, else all; a quick run leaves out what takes long and was not named. */
function select(names: readonly string[], isQuick: boolean, medusa: boolean): Scenario[] {
  const unknown = names.find((name) => !scenarios.some((each) => each.name === name));
  if (unknown !== undefined) throw new UsageError(`no scenario is called ${unknown}`);
  return scenarios
    .filter(({ name, isLong }) =>
      names.length > 0 ? names.includes(name) : !(isQuick && isLong === true),
    )
    .map((scenario) => ({
      ...scenario,
      subjects: scenario.subjects.filter((name) => medusa || name !== 'medusa'),
      half: scenario.half === true && !isQuick,
    }));
}

function count(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new UsageError(`--${name} must be a whole number from 1 to ${max}`);
}
