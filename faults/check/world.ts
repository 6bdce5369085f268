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

/** A reservation as the model has it. */
export interface Held {
  readonly id: string;
  readonly warehouse: string;
  readonly tenant: string;
  /** Units still held, by product. */
  readonly units: Map<string, number>;
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
