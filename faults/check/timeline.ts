import type { Report } from './anomaly.ts';

/** When one movement of a level can have happened, by the clients' clock. */
export interface Bounds {
  /** No earlier than its request was first sent. */
  readonly sentAt: number;
  /** No later than it was first answered; infinite if it never was. */
  readonly ackAt: number;
}

/** Movements without a client, such as a booked expiry: any time. */
export const unbounded: Bounds = { sentAt: -Infinity, ackAt: Infinity };

interface Seen {
  readonly at: number;
  readonly sequence: number;
}

/**
 * The history of one level in real time: which sequences it can have had at an instant.
 *
 * A level is linearizable when its order agrees with real time (`checkOrder`) and everything that
 * was observed of it is a state between `from` the observation's request and `to` its answer.
 */
export class Timeline {
  readonly #bounds: readonly Bounds[];
  readonly #seen: Seen[] = [];
  #floors: Seen[] | undefined;
  readonly #ceilings: Seen[];

  /** @param bounds of each movement, in the order of the sequences from 1 */
  constructor(bounds: readonly Bounds[]) {
    this.#bounds = bounds;
    for (const [index, { ackAt }] of bounds.entries()) {
      if (ackAt < Infinity) this.#seen.push({ at: ackAt, sequence: index + 1 });
    }
    const sendings = bounds.map(({ sentAt }, index) => ({ at: sentAt, sequence: index }));
    this.#ceilings = running(sendings, (a, b) => b.at - a.at, Math.min);
  }

  get length(): number {
    return this.#bounds.length;
  }

  /**
   * A state that somebody had been shown by then: nobody may be shown an earlier one afterwards.
   */
  observe(at: number, sequence: number): void {
    this.#seen.push({ at, sequence });
    this.#floors = undefined;
  }

  /** The least sequence that the level can have had at an instant. */
  floor(at: number): number {
    this.#floors ??= running(this.#seen, (a, b) => a.at - b.at, Math.max);
    return lastBefore(this.#floors, (entry) => entry.at < at)?.sequence ?? 0;
  }

  /** The greatest one: no movement that was asked for only later. */
  ceiling(at: number): number {
    return lastBefore(this.#ceilings, (entry) => entry.at > at)?.sequence ?? this.length;
  }

  /** A movement that was answered before another was asked for comes before it. */
  checkOrder(name: string, report: Report): void {
    let earliestAck = Infinity;
    let acknowledged = 0;
    for (let index = this.#bounds.length - 1; index >= 0; index--) {
      const { sentAt, ackAt } = this.#bounds[index] as Bounds;
      if (sentAt > earliestAck) {
        report('order', `${name}: ${index + 1} was sent after ${acknowledged} was answered`);
        return;
      }
      if (ackAt < earliestAck) {
        earliestAck = ackAt;
        acknowledged = index + 1;
      }
    }
  }
}

/** Sorted, each entry with the best sequence up to it. */
function running(
  entries: readonly Seen[],
  order: (a: Seen, b: Seen) => number,
  best: (a: number, b: number) => number,
): Seen[] {
  let sequence: number | undefined;
  return entries.toSorted(order).map((entry) => {
    sequence = sequence === undefined ? entry.sequence : best(sequence, entry.sequence);
    return { at: entry.at, sequence };
  });
}

/** The last entry of those at the front that hold; binary search. */
function lastBefore<T>(entries: readonly T[], holds: (entry: T) => boolean): T | undefined {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(entries[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return entries[low - 1];
}
