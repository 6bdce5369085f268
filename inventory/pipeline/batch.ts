import type { Answer, IdempotencyRecord } from '@onhand/idempotency';
import type { Command } from '../stock/commands.ts';
import type { Outcome } from '../stock/outcomes.ts';

/** A command on its way to its one effect. */
export interface Submission {
  readonly tenant: string;
  /** The caller's idempotency key; with the tenant it names the effect. */
  readonly key: string;
  /** SHA-256 of the request, lower-case hex. */
  readonly fingerprint: string;
  readonly command: Command;
}

/** The answer that the database holds under a submission's key. */
export interface Recorded {
  readonly record: IdempotencyRecord;
  /** True when the record existed before this batch. */
  readonly replayed: boolean;
}

/** The queue is full, or the command waited too long for its turn; nothing was done. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/**
 * What became of a submission. `error`: nothing is known to be written and the key is free. After a
 * COMMIT of unknown outcome the key tells: it is recorded if that COMMIT took effect.
 */
export type Settlement = Recorded | { readonly error: unknown };

/**
 * Turns an outcome into the answer that is recorded with it, byte for byte.
 * @param now milliseconds since the epoch, the clock that the outcome was decided by
 */
export type Render = (outcome: Outcome, command: Command, now: number) => Answer;

/** Stages of a batch, in their order. */
export type Stage = 'resolve' | 'lock' | 'load' | 'decide' | 'write';

/** Told what the pipeline does, for metrics and logs. It must not throw. */
export interface PipelineObserver {
  /**
   * The transaction of a batch ended well. `commands` is 0 where it only booked holds that are
   * over.
   */
  batchCommitted?(batch: { commands: number; stagesMs: Partial<Record<Stage, number>> }): void;
  /** A batch failed and will be tried again, split, or given up. */
  batchFailed?(failure: { error: unknown; commands: number; attempt: number }): void;
  /** The distributed lock could not be had; the batch went on under row locks alone. */
  lockMissed?(error: unknown): void;
  lockAcquired?(waitedMs: number): void;
}
