/**
 * What the clients of a run did and saw: with the database at the end, all that the check knows.
 *
 * Times are `performance.now()` milliseconds of this process (`At`), and where they are compared
 * with the database's clock, milliseconds since the epoch (`Wall`).
 */

export interface Line {
  readonly product: string;
  readonly quantity: number;
}

/** A stock command as a client states it; `reference` is the operation's id. */
export type Command =
  | { readonly type: 'receipt' | 'shipment'; readonly warehouse: string; readonly lines: Line[] }
  | {
      readonly type: 'transfer';
      readonly from: string;
      readonly to: string;
      readonly lines: Line[];
    }
  | {
      readonly type: 'adjustment';
      readonly warehouse: string;
      readonly lines: { readonly product: string; readonly change: number }[];
    }
  | {
      readonly type: 'count';
      readonly warehouse: string;
      readonly lines: {
        readonly product: string;
        readonly counted: number;
        readonly expectedOnHand?: number;
        readonly expectedSequence?: number;
      }[];
    }
  | {
      readonly type: 'reservation';
      readonly warehouse: string;
      readonly lines: Line[];
      readonly ttlSeconds?: number;
    }
  | {
      readonly type: 'reservation-ship' | 'reservation-release';
      readonly reservation: string;
      readonly lines?: Line[];
    }
  | {
      readonly type: 'reservation-extend';
      readonly reservation: string;
      readonly ttlSeconds: number;
    }
  | { readonly type: 'reversal'; readonly posting: string };

/** One sending of one request, alone or as an entry of a batch. */
export interface Attempt {
  readonly instance: number;
  readonly sentAt: number;
  readonly sentWall: number;
  /** Absent: no answer was received, and whether it takes effect is open. */
  answer?: Answer;
}

export interface Answer {
  readonly at: number;
  readonly wall: number;
  readonly status: number;
  readonly body: string;
  /** As one text; undefined in a batch, where an entry has none. */
  readonly headers: string | undefined;
  /** It says that it is a repeat; undefined in a batch. */
  readonly replayed?: boolean;
}

/** One request under one key, whatever became of it. */
export interface Operation {
  /** Unique in the run, and the posting's `reference`. */
  readonly id: string;
  readonly tenant: string;
  readonly key: string;
  readonly command: Command;
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly attempts: Attempt[];
  /** Its client went away and never asks again. */
  abandoned: boolean;
}

/** A level as it was read. */
export interface LevelRead {
  readonly tenant: string;
  readonly warehouse: string;
  readonly product: string;
  readonly sentAt: number;
  readonly at: number;
  readonly sentWall: number;
  readonly wall: number;
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
  readonly sequence: number;
  /** undefined: from a list, which has none. */
  readonly etag: string | undefined;
}

/** A request that must be refused before any decision, and what it got. */
export interface InvalidRequest {
  readonly what: string;
  readonly expected: number;
  readonly status: number;
  readonly body: string;
}

/** A look at what became of an operation that was acknowledged before. */
export interface Probe {
  readonly operation: Operation;
  readonly what: 'key' | 'posting' | 'movements' | 'reservation';
  readonly body: string;
}

/** A reply that is a refusal or a failure, or not the one that was to be expected. */
export interface Unwelcome {
  /** Method and path. */
  readonly request: string;
  /**
   * The only right status, unless the service cannot work just now; undefined: refusals may be
   * right.
   */
  readonly expected: number | undefined;
  readonly status: number;
  /** undefined: without that header; null: a command in a batch, which has none. */
  readonly retryAfter: string | null | undefined;
  readonly body: string;
}

export interface Catalogue {
  readonly warehouses: readonly string[];
  readonly products: readonly string[];
  readonly backorderProducts: readonly string[];
}

export interface History {
  readonly catalogue: Catalogue;
  readonly tenants: readonly string[];
  readonly operations: Operation[];
  readonly reads: LevelRead[];
  readonly invalid: InvalidRequest[];
  readonly unwelcome: Unwelcome[];
  readonly probes: Probe[];
}

/** Codes that say nothing about what becomes of the request: send it again with the same key. */
const retryCodes = new Set(['request-timeout', 'request-in-flight', 'rate-limited']);

/** Whether an answer is the last word on its request. */
export function isFinal({ status, body }: Answer): boolean {
  if (status >= 500) return false;
  return status < 400 || !retryCodes.has(codeOf(body));
}

/** The problem's code; '' when the body has none. */
export function codeOf(body: string): string {
  try {
    return String((JSON.parse(body) as { code?: unknown }).code ?? '');
  } catch {
    return '';
  }
}

/** The first final answer, if there is one. */
export function finalAnswer(operation: Operation): Answer | undefined {
  let first: Answer | undefined;
  for (const { answer } of operation.attempts) {
    if (answer === undefined || !isFinal(answer)) continue;
    if (first === undefined || answer.at < first.at) first = answer;
  }
  return first;
}
