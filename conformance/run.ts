import { type Baseline, type Check, type Finding, NoAnswer, ok } from './checks/check.ts';
import { keyChecks } from './checks/key-checks.ts';
import { raceChecks } from './checks/race-checks.ts';
import { replayChecks } from './checks/replay-checks.ts';
import type { Exchange } from './exchange.ts';
import { Stopped, sameAnswer, Target, type TargetOptions } from './target.ts';

export interface Result extends Finding {
  check: Check;
  /** The requests and answers that show it. */
  exchanges: readonly Exchange[];
  ms: number;
}

/** The API could not be checked at all; the message says what to do. */
export class NotCheckable extends Error {}

export const checks: readonly Check[] = [...keyChecks, ...replayChecks, ...raceChecks];

/**
 * Runs all checks, one after the other.
 *
 * @param onResult told of each result as it comes
 * @throws NotCheckable when the URL does not answer, or refuses the request of the run
 */
export async function runChecks(
  options: TargetOptions,
  onResult: (result: Result) => void = () => {},
): Promise<Result[]> {
  const target = new Target(options);
  const baseline = await findBaseline(target);
  const results: Result[] = [];
  for (const check of checks) {
    const began = performance.now();
    target.evidence = [];
    const finding = await find(check, target, baseline);
    const exchanges = target.evidence;
    const result = { check, ...finding, exchanges, ms: performance.now() - began };
    results.push(result);
    onResult(result);
  }
  return results;
}

async function find(check: Check, target: Target, baseline: Baseline): Promise<Finding> {
  try {
    return await check.run(target, baseline);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Stopped)
      return { verdict: 'not-applicable', reason: `stopped: ${message}` };
    if (error instanceof NoAnswer) return { verdict: 'fail', reason: `no answer: ${message}` };
    return { verdict: 'fail', reason: message };
  }
}

async function findBaseline(target: Target): Promise<Baseline> {
  const before = await target.observe();
  const one = await target.send({ key: target.newKey() });
  if (!one.received) {
    throw new NotCheckable(`${target.options.url} does not answer: ${one.error}`);
  }
  if (!ok(one.received)) {
    const text = one.received.body.toString('utf8', 0, 300);
    throw new NotCheckable(
      `The request must succeed with a fresh key, but got ${one.received.status}: ${text}`,
    );
  }
  const after = await target.observe();
  const two = await target.send({ key: target.newKey() });
  const distinct = two.received !== undefined && !sameAnswer(one.received, two.received);
  const step = before === undefined || after === undefined ? undefined : after - before;
  if (step === 0) throw new NotCheckable('--observe does not change when a request takes effect.');
  return { first: one.received, distinct, step };
}
