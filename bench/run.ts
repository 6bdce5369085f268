import { randomBytes } from 'node:crypto';
import { runAutocannon } from './load/autocannon.ts';
import { findProgram, type Load } from './load/load.ts';
import { runWrk } from './load/wrk.ts';
import { measure } from './measure/measure.ts';
import type { RunLoad, Sample } from './measure/sample.ts';
import type { Options } from './options.ts';
import type { Result } from './report/report.ts';
import type { Rig } from './rig.ts';
import type { Scenario } from './scenarios.ts';
import type { Subjects } from './subjects/start.ts';
import type { Subject, SubjectName } from './subjects/subject.ts';

/** wrk when it is installed, else autocannon. */
export function chooseLoad(): { name: 'wrk' | 'autocannon'; run: RunLoad } {
  const wrk = findProgram('wrk');
  if (wrk === undefined) return { name: 'autocannon', run: runAutocannon };
  return { name: 'wrk', run: (load) => runWrk(wrk, load) };
}

/** One row of the plan: who is measured with what. */
interface Cell {
  readonly scenario: Scenario;
  readonly connections: number;
  readonly subject: Subject;
  readonly full: Sample[];
  readonly half: Sample[];
}

/**
 * Measures everything once a round, so that whatever else the machine does meets all subjects
 * alike. Within a scenario subjects follow each other at once, and a different one begins each
 * round. The first round is preceded by loads that are not counted.
 */
export class Run {
  readonly #rig: Rig;
  readonly #options: Options;
  readonly #runLoad: RunLoad;
  readonly #cells: readonly Cell[];
  readonly #id = randomBytes(4).toString('hex');
  #loads = 0;

  constructor(rig: Rig, subjects: Subjects, runLoad: RunLoad, options: Options) {
    this.#rig = rig;
    this.#options = options;
    this.#runLoad = runLoad;
    this.#cells = options.scenarios.flatMap((scenario) => cellsOf(scenario, subjects));
  }

  async rounds(say: (line: string) => void): Promise<Result[]> {
    await this.#warmUp(say);
    for (let round = 1; round <= this.#options.rounds; round++) {
      say(`round ${round} of ${this.#options.rounds}`);
      for (const cells of this.#groups()) {
        for (const cell of rotate(cells, round)) await this.#measure(cell, round, say);
      }
    }
    return this.#cells.flatMap(resultsOf);
  }

  async #warmUp(say: (line: string) => void): Promise<void> {
    say('warming up');
    const seen = new Set<string>();
    for (const { scenario, connections, subject } of this.#cells) {
      const { kind } = scenario.requests;
      if (seen.has(`${subject.name} ${kind}`)) continue;
      seen.add(`${subject.name} ${kind}`);
      const load = this.#load(scenario, subject, connections, 0);
      // Several servers share the load, and each has to become warm.
      const seconds = this.#options.warmUpSeconds * Math.max(1, subject.servers.length);
      await (subject.run ?? this.#runLoad)({ ...load, seconds });
    }
  }

  #groups(): Cell[][] {
    const groups = Map.groupBy(
      this.#cells,
      ({ scenario, connections }) => `${scenario.name} ${connections}`,
    );
    return [...groups.values()];
  }

  async #measure(cell: Cell, round: number, say: (line: string) => void): Promise<void> {
    const { scenario, subject, connections } = cell;
    const { movements } = scenario;
    const meter = (load: Load) =>
      measure(this.#rig, subject, this.#runLoad, load, { round, movements });
    const full = await meter(this.#load(scenario, subject, connections, 0));
    cell.full.push(full);
    say(lineOf(scenario.name, subject.name, connections, full));
    if (scenario.half !== true) return;
    const half = await meter(this.#load(scenario, subject, connections, halfDelay(cell)));
    cell.half.push(half);
    say(lineOf(`${scenario.name}, half`, subject.name, connections, half));
  }

  #load(scenario: Scenario, subject: Subject, connections: number, delayMs: number): Load {
    this.#loads += 1;
    return {
      requests: scenario.requests,
      targets: subject.servers.map(({ url }) => url),
      connections,
      seconds: this.#options.seconds,
      delayMs,
      run: `${this.#id}-${this.#loads}`,
      seed: this.#loads,
    };
  }
}

function cellsOf(scenario: Scenario, subjects: Subjects): Cell[] {
  return scenario.connections.flatMap((connections) =>
    scenario.subjects
      .map((name: SubjectName) => subjects.get(name))
      .filter((subject) => subject !== undefined)
      .map((subject) => ({ scenario, connections, subject, full: [], half: [] })),
  );
}

/** The pause with which a cell's connections send half of what they just did, at a low latency. */
function halfDelay({ full, connections }: Cell): number {
  const last = full.at(-1) as Sample;
  const cycleMs = (connections / (last.rate / 2)) * 1_000;
  return Math.max(1, Math.round(cycleMs - last.p50 / 2_000));
}

function rotate<T>(list: readonly T[], by: number): T[] {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

function resultsOf({ scenario, connections, subject, full, half }: Cell): Result[] {
  const common = { scenario: scenario.name, subject: subject.name, connections };
  const atFull: Result = { ...common, load: 'full', samples: full };
  return half.length === 0 ? [atFull] : [atFull, { ...common, load: 'half', samples: half }];
}

function lineOf(name: string, subject: string, connections: number, sample: Sample): string {
  const rate = `${Math.round(sample.rate).toLocaleString('en')}/s`.padStart(10);
  const p99 = `p99 ${(sample.p99 / 1_000).toFixed(1)} ms`;
  const faults = sample.refused + sample.broken;
  const note = faults === 0 ? '' : `  ${faults} failed`;
  const label = `${name} · ${connections}`.padEnd(26);
  return `  ${label} ${subject.padEnd(15)}${rate}  ${p99}${note}`;
}
