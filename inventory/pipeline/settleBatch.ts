import { setTimeout as delay } from 'node:timers/promises';
import { type Failure, failureOf } from '../postgres/failures.ts';
import type { Targets } from '../postgres/findTargets.ts';
import { OverloadedError, type Settlement, type Submission } from './batch.ts';
import { type CommitOptions, commitBatch, type Place, type Progress } from './commitBatch.ts';

/** The database, or the way to it, is gone; whether a command took effect may be unknown. */
export class DatabaseUnavailableError extends Error {
  override readonly name = 'DatabaseUnavailableError';
}

/**
 * Attempts of one batch, with the waits between them. A transient failure needs the other side to
 * finish; an unreachable database gets about as long as a connection needs to be replaced.
 */
const attemptsMax = 4;
const backoffMs = [10, 40, 160];

/**
 * No attempt starts later than this after the first, neither of the batch nor of a part of it. One
 * attempt takes at most the query time-out (12 s), so a caller waits at most 10 + 12 s, and once
 * more where the batch in front or behind fails as well: waiting for that is not counted. On a
 * healthy database nobody waits for this.
 */
const retryUntilMs = 10_000;

/** A batch's first attempt, among others of its lane. */
export interface FirstAttempt {
  readonly place: Place;
  /** Told when it is over: what is left of the batch does not share its connection. */
  over(): void;
  /** Awaited when it failed: whoever shared its connection goes first, and nobody joins them. */
  failed(): Promise<void>;
}

/** What the attempts of one batch and of its parts share. */
export interface Patience {
  /** When the last of them may begin, in `performance.now()` milliseconds. */
  until: number;
  /** Why it is not known whether one of them took effect. */
  doubt?: unknown;
}

/**
 * Settles every submission of a batch: commits it, in parts where it has more lines than one
 * transaction takes, retries what may pass, and splits what does not, so that one poison command
 * cannot fail its neighbours.
 *
 * Transactions in the worst case: 4 attempts for each of the 2n − 1 nodes of the split tree, as far
 * as they fit in `retryUntilMs`; what is left then is turned away, and the lane goes on.
 * @param first where the first attempt stands; later ones, and parts, are alone on their connection
 * @yields the settlements of each part when it is settled, in the order of the submissions
 */
export async function* settleBatch(
  options: CommitOptions,
  submissions: readonly Submission[],
  first?: FirstAttempt,
  patience: Patience = { until: performance.now() + retryUntilMs },
): AsyncGenerator<readonly Settlement[], void> {
  let part: Part = { submissions, first, targets: undefined };
  while (part.submissions.length > 0) {
    const done = await commitWithRetries(options, part, patience);
    if (!('settlements' in done)) return yield* settleFailed(options, part, done, patience);
    if (done.settlements.length > 0) yield done.settlements;
    const rest = part.submissions.slice(done.settlements.length);
    if (rest.length > 0 && performance.now() > patience.until) {
      yield turnedAway(rest, patience);
      return;
    }
    part = { submissions: rest, first: undefined, targets: done.targets };
  }
}

/** What is left of a batch. */
interface Part {
  readonly submissions: readonly Submission[];
  readonly first: FirstAttempt | undefined;
  /** What its commands name, once that is known. */
  readonly targets: Targets | undefined;
}

interface Failed {
  readonly error: unknown;
  readonly failure: Failure;
}

async function* settleFailed(
  options: CommitOptions,
  { submissions }: Part,
  { error, failure }: Failed,
  patience: Patience,
): AsyncGenerator<readonly Settlement[], void> {
  if (failure === 'unreachable') {
    yield unavailable(submissions, error);
    return;
  }
  if (submissions.length === 1) {
    yield [{ error }];
    return;
  }
  const middle = submissions.length >> 1;
  for (const part of [submissions.slice(0, middle), submissions.slice(middle)]) {
    if (performance.now() > patience.until) yield unavailable(part, error);
    else yield* settleBatch(options, part, undefined, patience);
  }
}

/** Nothing was done for these, unless an earlier attempt may have taken effect unseen. */
function turnedAway(submissions: readonly Submission[], { doubt }: Patience): Settlement[] {
  if (doubt !== undefined) return unavailable(submissions, doubt);
  const error = new OverloadedError('the command waited too long behind others of its batch');
  return submissions.map(() => ({ error }));
}

function unavailable(submissions: readonly Submission[], cause: unknown): Settlement[] {
  const error = new DatabaseUnavailableError('the database is unavailable', { cause });
  return submissions.map(() => ({ error }));
}

async function commitWithRetries(
  options: CommitOptions,
  { submissions, first, targets }: Part,
  patience: Patience,
): Promise<Progress | Failed> {
  for (let attempt = 1; ; attempt++) {
    try {
      const place = attempt === 1 ? first?.place : undefined;
      const progress = await commitBatch(options, submissions, place, targets);
      if (attempt === 1) first?.over();
      return progress;
    } catch (error) {
      options.observer.batchFailed?.({ error, commands: submissions.length, attempt });
      if (attempt === 1 && first !== undefined) {
        const since = performance.now();
        await first.failed();
        patience.until += performance.now() - since;
      }
      const failure = failureOf(error);
      if (failure === 'unreachable') patience.doubt ??= error;
      if (failure === 'refused' || attempt === attemptsMax || performance.now() > patience.until) {
        return { error, failure };
      }
      const waitMs = backoffMs[attempt - 1] as number;
      await delay(waitMs * (0.5 + Math.random()));
    }
  }
}
