import type { Posting } from '../stock/outcomes.ts';
import { insertMovements } from './insertMovements.ts';
import { insertPostings } from './insertPostings.ts';
import { insertRecords } from './insertRecords.ts';
import type { StoredRecord } from './loadContext.ts';
import type { LockedLevel } from './lockLevels.ts';
import { together } from './operation.ts';
import { updateLevels } from './updateLevels.ts';

/** What every batch that posts something writes. Times are RFC 3339. */
export interface BatchWrite {
  readonly tenant: string;
  /** Stamped on postings, movements and levels. */
  readonly recordedAt: string;
  /** The clock that the batch was decided by: when its records were made. */
  readonly decidedAt: string;
  /** When its records may be forgotten. */
  readonly expiresAt: string;
  readonly postings: readonly Posting[];
  readonly levels: readonly LockedLevel[];
  readonly records: readonly StoredRecord[];
}

/**
 * Postings, movements, levels and records in one statement. Any of them may be empty.
 *
 * Only the records can wait for another transaction (one that is recording the same key), and that
 * one holds all of its row locks already; so the order among them cannot make a deadlock.
 */
export const writeBatch = together<BatchWrite>('write-batch', [
  insertPostings,
  insertMovements,
  updateLevels,
  insertRecords,
]);
