import { type Baseline, type Check, type Finding, NoAnswer, ok, start } from './checks/check.ts';
import { keyChecks } from './checks/key-checks.ts';
import { raceChecks } from './checks/race-checks.ts';
import { replayChecks } from './checks/replay-checks.ts';
import { type Exchange, withoutCredential } from './exchange.ts';
import { alterations } from './json-body.ts';
import {
  NotApplicable,
  NotCheckable,
  Stopped,
  sameAnswer,
  Target,
  type TargetOptions,
} from './target.ts';

export interface Result extends Finding {
  check: Check;
  /** The requests and answers that show it. */
  exchanges: readonly Exchange[];
  ms: number;
  /** A limit of the run came before its end. */
  stopped: boolean;
}

export const checks: readonly Check[] = [...keyChecks, ...replayChecks, ...raceChecks];

/**
 * Runs all checks, one after the other.
 *
 * @param onResult told of each result as it comes
 * @throws NotCheckable when the URL does not answer, or refuses the request of the run
 * @throws Error when the body has no value at `vary`
 */
export async function runChecks(
  options: TargetOptions,
  onResult: (result: Result) => void = () => {},
): Promise<Result[]> {
  const target = new Target(options);
  const candidates = alterations(options.body, options.vary);
  const baseline = await findBaseline(target);
  await findAltered(target, candidates).catch(unlessStopped);
  const results: Result[] = [];
  for (const check of checks) {
    const began = performance.now();
    target.evidence = [];
    const found = await find(check, target, baseline);
    const exchanges = target.evidence;
    const result = { check, ...found, exchanges, ms: performance.now() - began };
    results.push(result);
    onResult(result);
  }
  return results;
}

async function find(
  check: Check,
  target: Target,
  baseline: Baseline,
): Promise<Finding & { stopped: boolean }> {
  try {
    return { ...(await check.run(target, baseline)), stopped: false };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const stopped = error instanceof Stopped;
    if (stopped) return { verdict: 'not-applicable', reason: `stopped: ${message}`, stopped };
    if (error instanceof NotApplicable || error instanceof NotCheckable) {
      return { verdict: 'not-applicable', reason: message, stopped };
    }
    const reason = error instanceof NoAnswer ? `no answer: ${message}` : message;
    return { verdict: 'fail', reason, stopped };
  }
}

/** The checks will stop as well, and say so. */
function unlessStopped(error: unknown): void {
  if (!(error instanceof Stopped)) throw error;
}

/** Finds another body that the API takes, so that what refuses it later is the key alone. */
async function findAltered(
  target: Target,
  candidates: readonly { at: string; body: unknown }[],
): Promise<void> {
  const reasons: string[] = [];
  for (const { at, body } of candidates) {
    const variation = { key: target.newKey(), body: { json: body } };
    const { received, error } = await target.send(variation);
    if (received && ok(received)) {
      target.altered = { body };
      return;
    }
    reasons.push(`${at} (${received?.status ?? error})`);
  }
  const tried = reasons.length > 0 ? `refused when it differs at ${reasons.join(', ')}` : 'none';
  target.altered = { reason: `no other body to send, ${tried}; give --vary` };
}

async function findBaseline(target: Target): Promise<Baseline> {
  const before = await target.observe();
  const one = await target.send({ key: target.newKey() });
  if (!one.received) {
    throw new NotCheckable(
      `${withoutCredential(target.options.url)} does not answer: ${one.error}`,
    );
  }
  if (!ok(one.received)) {
    const text = start(one.received, 300);
    const hint = [401, 403].includes(one.received.status) ? '\nIs a --header missing?' : '';
    throw new NotCheckable(
      `The request must succeed with a fresh key, but got ${one.received.status}: ${text}${hint}`,
    );
  }
  const after = await target.observe();
  const two = await target.send({ key: target.newKey() });
  const distinct = two.received !== undefined && !sameAnswer(one.received, two.received);
  const step = before === undefined || after === undefined ? undefined : after - before;
  if (step === 0) throw new NotCheckable('--observe does not change when a request takes effect.');
  return { first: one.received, distinct, step };
}
