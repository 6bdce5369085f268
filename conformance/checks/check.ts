import type { Exchange, Received } from '../exchange.ts';
import type { Target } from '../target.ts';

export type Verdict = 'pass' | 'fail' | 'not-applicable';

export interface Finding {
  verdict: Verdict;
  reason: string;
}

/** What is known of the API before the other checks. */
export interface Baseline {
  /** The answer to a fresh key. */
  first: Received;
  /** Whether answers to two fresh keys differ, so that a second execution shows. */
  distinct: boolean;
  /** How much one execution changes the observed number; undefined when nothing is observed. */
  step: number | undefined;
}

export interface Check {
  id: string;
  title: string;
  /** What draft-ietf-httpapi-idempotency-key-header-07 says. */
  draft: string;
  /** What Stripe, Square, Shopify and their like do. */
  practice: string;
  run(target: Target, baseline: Baseline): Promise<Finding>;
}

export const pass = (reason: string): Finding => ({ verdict: 'pass', reason });
export const fail = (reason: string): Finding => ({ verdict: 'fail', reason });
export const skip = (reason: string): Finding => ({ verdict: 'not-applicable', reason });

/** The answer, or a finding that there was none. */
export function answerOf(exchange: Exchange): Received {
  if (!exchange.received) throw new NoAnswer(exchange.error ?? 'no answer');
  return exchange.received;
}

export class NoAnswer extends Error {}

export const ok = (received: Received): boolean => received.status >= 200 && received.status < 300;

export const say = (received: Received): string => `${received.status} ${start(received, 80)}`;

/** The first bytes of a body in one line. */
export function start({ body }: Received, bytes: number): string {
  return body.toString('utf8', 0, bytes).replace(/\s+/g, ' ').trim();
}

/**
 * Runs `act` and compares how often the effect happened with how often it should have.
 *
 * @returns a failing finding, or undefined when it fits or nothing is observed
 */
export async function effectsOf(
  target: Target,
  { step }: Baseline,
  expected: number,
  act: () => Promise<Finding>,
): Promise<Finding> {
  const before = await target.observe();
  const finding = await act();
  const after = await target.observe();
  if (before === undefined || after === undefined || !step) return finding;
  const times = (after - before) / step;
  if (times === expected) return finding;
  const count = times === 1 ? 'once' : `${times} times`;
  return fail(`the effect happened ${count} instead of ${expected}; ${finding.reason}`);
}
