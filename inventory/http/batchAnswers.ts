import { ApiError } from '../errors.ts';
import { problemFor } from './problems.ts';

/** The answer to one command of a batch, its body as JSON. */
export interface EntryAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/**
 * Bytes of the bodies in one answer. A thousand postings of fifty lines fit; a thousand times the
 * largest answer, which one recorded key is enough to ask for, is 700 MB.
 */
export const batchBytesMax = 32 * 1024 * 1024;

/**
 * The answers of a batch in the order of its commands, which may settle in any.
 *
 * They are kept from the first on as far as they fit together. Behind the first that does not fit,
 * every command is told to ask again: it may be done, and its key tells. Which ones does not depend
 * on who settles first, so a repeated batch is answered alike. What does not fit is let go at once.
 */
export class BatchAnswers {
  readonly #size: number;
  readonly #bytesMax: number;
  readonly #kept: (EntryAnswer | undefined)[] = [];
  /** The first command of which the answer has no room. */
  #end: number;
  #bytes = 0;

  /** @param size commands of the batch */
  constructor(size: number, bytesMax = batchBytesMax) {
    this.#size = size;
    this.#bytesMax = bytesMax;
    this.#end = size;
  }

  set(at: number, answer: EntryAnswer): void {
    if (at >= this.#end) return;
    this.#kept[at] = answer;
    this.#bytes += answer.body.length;
    while (this.#bytes > this.#bytesMax) this.#dropLast();
  }

  #dropLast(): void {
    const last = this.#kept.pop();
    this.#end = this.#kept.length;
    this.#bytes -= last?.body.length ?? 0;
  }

  /** `{"results":[{"status","body"}…]}`, the bodies byte for byte as they were set. */
  toJson(): Buffer {
    const parts: Buffer[] = [];
    for (let at = 0; at < this.#size; at++) {
      const { status, body } = this.#kept[at] ?? withoutRoom;
      parts.push(
        Buffer.from(`${at === 0 ? '{"results":[' : '},'}{"status":${status},"body":`),
        body,
      );
    }
    parts.push(Buffer.from('}]}'));
    return Buffer.concat(parts);
  }
}

const withoutRoom: EntryAnswer = entryOf(
  new ApiError(
    'overloaded',
    'This batch has no room for the answer. Send the command again, with the same key.',
  ),
);

export function entryOf(error: unknown): EntryAnswer {
  const { status, body } = problemFor(error);
  return { status, body: Buffer.from(JSON.stringify(body)) };
}
