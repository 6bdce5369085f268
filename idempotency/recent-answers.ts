import type { IdempotencyRecord } from './answer.ts';
import { AnswerCache } from './answer-cache.ts';
import { GivenAnswers } from './given-answers.ts';

/**
 * Most bytes of first answers: they are set aside at once, where a cache grows with what it holds.
 */
const givenBytesMax = 256 * 1024 * 1024;

export interface RecentAnswersOptions {
  /** Of all that is remembered; 0 = nothing. */
  bytesMax: number;
  /** How long an answer is remembered, in milliseconds. */
  ttlMs: number;
  /**
   * Whether first answers are remembered: where nothing else has them when the claim store loses
   * them.
   */
  first: boolean;
}

/** What this process remembers of late. */
export class RecentAnswers {
  private readonly ttlMs: number;
  private readonly askedAgain: AnswerCache;
  private readonly first: GivenAnswers | undefined;

  constructor({ bytesMax, ttlMs, first }: RecentAnswersOptions) {
    this.ttlMs = ttlMs;
    const givenBytes = first ? Math.min(givenBytesMax, Math.floor(bytesMax / 2)) : 0;
    if (givenBytes > 0) this.first = new GivenAnswers(givenBytes);
    this.askedAgain = new AnswerCache(bytesMax - givenBytes);
  }

  get(id: string): IdempotencyRecord | undefined {
    return this.askedAgain.get(id) ?? this.first?.get(id);
  }

  /** Remembers what a repeat was answered with. */
  replayed(id: string, record: IdempotencyRecord): void {
    this.askedAgain.set(id, record, this.ttlMs);
  }

  /** Remembers a first answer, where those are remembered. */
  given(id: string, record: IdempotencyRecord): void {
    this.first?.set(id, record, this.ttlMs);
  }
}
