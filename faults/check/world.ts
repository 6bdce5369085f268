import type { MovementRow, PostingRow, Snapshot } from './snapshot.ts';

/** Where a level stands after a movement. */
export interface Standing {
  readonly onHand: number;
  readonly reserved: number;
  readonly sequence: number;
}

/** Expiries that were the last to move a level, of one batch. */
export interface Lapse {
  /** The sequences before and after them. */
  readonly before: number;
  readonly after: number;
  readonly recordedAt: number;
}

const start: Standing = { onHand: 0, reserved: 0, sequence: 0 };

/** Units of a reservation's product that are no longer held, by where they went. */
export interface Counts {
  shipped: number;
  released: number;
  expired: number;
}

/**
 * Units that leave `reserved` were shipped if they left `onHand` with it, else released or expired.
 */
export function countOf(type: string, onHandChange: number): keyof Counts {
  if (type === 'expiry') return 'expired';
  return onHandChange === 0 ? 'released' : 'shipped';
}

/** A reservation as the model has it. */
export interface Held {
  readonly id: string;
  readonly warehouse: string;
  readonly tenant: string;
  /** Units still held, by product. */
  readonly units: Map<string, number>;
  readonly counts: Map<string, Counts>;
  /** Every number of its units of a product that there was: `held P1`, `shipped P1` and so on. */
  readonly seen: Map<string, Set<number>>;
  /** Milliseconds since the epoch; null: never. */
  expiresAt: number | null;
  /** Earliest and latest expiry it ever had; infinite for never. */
  earliest: number;
  latest: number;
  /** It has lost units to its expiry. */
  lapsed: boolean;
  /** When nothing was held any more, at least once; the database's clock. */
  emptiedAt: number | undefined;
}

export function unitsHeld(held: Held, product: string): number {
  return held.units.get(product) ?? 0;
}

/** All of it was shipped or released. */
export function isClosed(held: Held): boolean {
  return [...held.counts].every(
    ([product, { expired }]) => expired === 0 && unitsHeld(held, product) === 0,
  );
}

/** The state of all tenants, as the model has brought it forward. */
export class World {
  readonly levels = new Map<string, Standing>();
  readonly lapses = new Map<string, Lapse>();
  readonly reservations = new Map<string, Held>();
  /** Postings that were reversed, with the one that did it. */
  readonly reversed = new Map<string, string>();
  readonly postings = new Map<string, PostingRow>();
  readonly movements = new Map<string, MovementRow[]>();

  constructor(snapshot: Snapshot) {
    for (const posting of snapshot.postings) this.postings.set(posting.id, posting);
    for (const rows of snapshot.movements.values()) {
      for (const row of rows) {
        const own = this.movements.get(row.posting);
        if (own === undefined) this.movements.set(row.posting, [row]);
        else own.push(row);
      }
    }
  }

  standing(key: string): Standing {
    return this.levels.get(key) ?? start;
  }
}
