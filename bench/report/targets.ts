import { world } from '../load/load.ts';
import { find, type Report, type Result } from './report.ts';
import { ratioOf, type Spread, spreadOf } from './statistics.ts';

/** What the service promises of its speed, as a ratio within one run. */
export interface Target {
  readonly sentence: string;
  /** At least, or at most. */
  readonly bound: 'least' | 'most';
  readonly wanted: number;
  readonly unit: '×' | '/s';
  /** Undefined when the run did not measure it. */
  readonly measured: (report: Report) => Spread | undefined;
}

export interface Judged extends Target {
  readonly value: Spread | undefined;
  /** The same of the least it takes, where that was measured. */
  readonly floor: Spread | undefined;
  readonly verdict: 'met' | 'not met' | 'not measured';
}

export function judge(report: Report): Judged[] {
  const ofFloor = withFloorAsOnhand(report);
  return targets.map((target) => {
    const value = target.measured(report);
    const floor = target.measured(ofFloor);
    if (value === undefined) return { ...target, value, floor, verdict: 'not measured' };
    const { bound, wanted } = target;
    const isMet = bound === 'least' ? value.median >= wanted : value.median <= wanted;
    return { ...target, value, floor, verdict: isMet ? 'met' : 'not met' };
  });
}

/** The report of a run in which the least it takes stood in Onhand's place. */
function withFloorAsOnhand(report: Report): Report {
  const results = report.results
    .filter(({ subject }) => !subject.startsWith('onhand'))
    .map((result) => {
      const subject = result.subject.replace('floor', 'onhand') as Result['subject'];
      return { ...result, subject };
    });
  return { ...report, results };
}

type Of = (result: Result) => number[];
const rates: Of = ({ samples }) => samples.map(({ rate }) => rate);
const p99s: Of = ({ samples }) => samples.map(({ p99 }) => p99);
const p50s: Of = ({ samples }) => samples.map(({ p50 }) => p50);
const memories: Of = ({ samples }) => samples.map(({ memory }) => memory);

type Names = readonly [scenario: string, subject: Result['subject']];

const ratio =
  (above: Names, below: Names, of: Of = rates) =>
  (report: Report) => {
    const [first, second] = [find(report, ...above), find(report, ...below)];
    return ratioOf(first && of(first), second && of(second));
  };

/** Commands a second that come in batches. */
function batchRate(report: Report): number[] | undefined {
  return find(report, 'batches', 'onhand')?.samples.map(({ rate }) => rate * world.batchCommands);
}

/**
 * Milliseconds of an idle receipt over what its parts take: two transactions and the bare route.
 */
function idleRatio(report: Report): Spread | undefined {
  const [onhand, pgbench, bare] = (['onhand', 'pgbench', 'bare'] as const).map((name) => {
    const result = find(report, 'idle', name);
    return result && p50s(result);
  });
  if (pgbench === undefined || bare === undefined) return undefined;
  const allowed = pgbench.map((latency, at) => 2 * latency + (bare[at] ?? 0));
  return ratioOf(onhand, allowed);
}

const least = (
  sentence: string,
  wanted: number,
  measured: Target['measured'],
  unit: Target['unit'] = '×',
): Target => ({ sentence, bound: 'least', wanted, unit, measured });

const most = (sentence: string, wanted: number, measured: Target['measured']): Target => ({
  sentence,
  bound: 'most',
  wanted,
  unit: '×',
  measured,
});

export const targets: readonly Target[] = [
  least(
    'Receipts over 1,000 products ÷ the bare route',
    0.55,
    ratio(['uniform', 'onhand'], ['uniform', 'bare']),
  ),
  least(
    'Receipts of one hot product ÷ the bare route',
    0.55,
    ratio(['hot', 'onhand'], ['hot', 'bare']),
  ),
  least('Hot product ÷ the classic design', 10, ratio(['hot', 'onhand'], ['hot', 'classic'])),
  least('Hot product ÷ pgbench', 10, ratio(['hot', 'onhand'], ['hot', 'pgbench'])),
  least(
    'Receipts over 1,000 products ÷ the classic design',
    3,
    ratio(['uniform', 'onhand'], ['uniform', 'classic']),
  ),
  least('Replays ÷ the bare route', 0.75, ratio(['replays', 'onhand'], ['replays', 'bare'])),
  least(
    'With Redis ÷ without, over 1,000 products',
    0.9,
    ratio(['uniform', 'onhand'], ['uniform', 'onhand-memory']),
  ),
  least(
    'Movements a second by `/v1/batches` of 100',
    25_000,
    (report) => {
      const rate = batchRate(report);
      return rate && spreadOf(rate);
    },
    '/s',
  ),
  least('Movements by `/v1/batches` ÷ by single commands', 2, (report) => {
    const single = find(report, 'uniform', 'onhand');
    return ratioOf(batchRate(report), single && rates(single));
  }),
  least(
    '1,000 small tenants ÷ the classic design',
    1,
    ratio(['tenants', 'onhand'], ['tenants', 'classic']),
  ),
  ...(['instances', 'instances-hot'] as const).flatMap((scenario) => {
    const what = scenario === 'instances' ? 'over 1,000 products' : 'of one hot product';
    return [
      least(`2 instances ÷ one, ${what}`, 0.9, ratio([scenario, 'onhand-2'], [scenario, 'onhand'])),
      least(`4 instances ÷ one, ${what}`, 0.9, ratio([scenario, 'onhand-4'], [scenario, 'onhand'])),
      most(
        `p99 of 2 instances ÷ of one, ${what}`,
        2,
        ratio([scenario, 'onhand-2'], [scenario, 'onhand'], p99s),
      ),
    ];
  }),
  most('Idle receipt, p50 ÷ (2 × `pgbench` + the bare route)', 1, idleRatio),
  least(
    'Rate on the large ledger ÷ on a hundredth of it',
    0.9,
    ratio(['ledger', 'onhand-large'], ['ledger', 'onhand-small']),
  ),
  most(
    'Memory of the service on the large ledger ÷ on a hundredth of it',
    1.1,
    ratio(['ledger', 'onhand-large'], ['ledger', 'onhand-small'], memories),
  ),
];
