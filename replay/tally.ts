import { createHistogram } from 'node:perf_hooks';
import type { Command } from './command.ts';
import type { Reply } from './connection.ts';
import { isSuccess, problemCode } from './send.ts';

interface PostingAnswer {
  movements: { product: string; onHandChange: number }[];
}

/** What happened so far. Its memory grows with the products, not with the requests. */
export class Tally {
  /** Invoices whose request was decided. */
  decided = 0;
  accepted = 0;
  movements = 0;
  /** Requests that were sent, repeats and retries included. */
  requests = 0;
  repeats = 0;
  /** Answers marked `Idempotent-Replayed`. */
  replayed = 0;
  readonly refusals = new Map<string, number>();
  readonly retries = new Map<string, number>();
  /** What must not be, each a sentence; at most {@link faultsMax} are kept. */
  readonly faults: string[] = [];
  faultCount = 0;
  /** Per product code: the units that accepted invoices of the file add to the opening stock. */
  readonly changes = new Map<string, number>();
  /** Microseconds from when a request was sent, or due under --rate, to its decision. */
  readonly latency = createHistogram();

  decide(command: Command, reply: Reply, latencyMs: number): void {
    this.decided += 1;
    this.latency.record(Math.max(1, Math.round(latencyMs * 1_000)));
    if (!isSuccess(reply)) return void add(this.refusals, problemCode(reply), 1);
    this.accepted += 1;
    for (const { product, change } of command.lines) add(this.changes, product, change);
    this.#checkAnswer(command, reply);
  }

  /** An answer must move exactly what was asked for. */
  #checkAnswer({ key, lines }: Command, { body }: Reply): void {
    const { movements } = JSON.parse(body.toString()) as PostingAnswer;
    this.movements += movements.length;
    const asked = lines.reduce((sum, { change }) => sum + change, 0);
    const moved = movements.reduce((sum, { onHandChange }) => sum + onHandChange, 0);
    if (asked !== moved) this.fault(`${key}: asked to move ${asked} units, answered ${moved}`);
  }

  fault(sentence: string): void {
    this.faultCount += 1;
    if (this.faults.length < faultsMax) this.faults.push(sentence);
  }
}

const faultsMax = 10;

export function add(counts: Map<string, number>, name: string, count: number): void {
  counts.set(name, (counts.get(name) ?? 0) + count);
}
