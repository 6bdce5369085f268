import type { IdempotencyRecord } from '@onhand/idempotency';
import type DataLoader from 'dataloader';
import type pg from 'pg';
import { textArray } from './arrays.ts';
import { queryConfirmed } from './confirmed.ts';
import { findRecord, foundOf, type RecordRow, recordColumns } from './findRecord.ts';
import { gatheringLoader } from './gatheringLoader.ts';
import type { Transaction } from './transaction.ts';

/**
 * Writes to the WAL what the commit behind it then waits for at the synchronous standbys.
 *
 * A commit that waits for them is on disk, and after a crash of the primary it is seen though no
 * standby may have it. An answer that rests on what was read could then be lost by a failover. What
 * is written behind it arrives at a standby after it; and written it must be, for a commit without
 * WAL waits for nobody. Source: PostgreSQL manual, Synchronous Replication; Replication Management
 * Functions.
 */
const message = `pg_logical_emit_message(true, 'onhand', '')`;

/** For a transaction that writes nothing else. */
export function writeMessage(transaction: Transaction): Promise<unknown> {
  return transaction.query({ name: 'write-message', text: `SELECT ${message}` });
}

const confirmedStatement = {
  name: 'find-confirmed-records',
  text: `
    WITH written AS MATERIALIZED (SELECT ${message})
    SELECT asked.place, ${recordColumns}
    FROM written
    CROSS JOIN unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (tenant, name, place)
    CROSS JOIN LATERAL (
      SELECT * FROM idempotency_records
      WHERE scope = asked.tenant AND key = asked.name AND expires_at > clock_timestamp()
      OFFSET 0) record`,
};

interface Asked {
  readonly tenant: string;
  readonly key: string;
}

/** Records of one statement, so that the answers of one are not felt by others. */
const recordsMax = 100;

/**
 * Finds records to answer from. Where there are synchronous standbys, once they have them.
 *
 * They are read, and waited for, by one statement, so that it is one server that has both; and by
 * one statement of this process at a time, for all who ask meanwhile: while a standby is gone, each
 * holds a connection until it is given up, and a session at the server until the standby is back.
 */
export class ConfirmedRecords {
  readonly #lookups: pg.Pool;
  readonly #reads: pg.Pool;
  readonly #confirmed: DataLoader<Asked, IdempotencyRecord | undefined>;

  constructor({ lookups, reads }: { readonly lookups: pg.Pool; readonly reads: pg.Pool }) {
    this.#lookups = lookups;
    this.#reads = reads;
    this.#confirmed = gatheringLoader((asked) => this.#read(asked), { keysMax: recordsMax });
  }

  /**
   * @returns undefined if nothing is recorded under the key, or its record has outlived its
   *   retention
   */
  async find(tenant: string, key: string): Promise<IdempotencyRecord | undefined> {
    const found = await findRecord(this.#lookups, tenant, key);
    return found?.hasStandbys ? this.#confirmed.load({ tenant, key }) : found?.record;
  }

  async #read(asked: readonly Asked[]): Promise<(IdempotencyRecord | undefined)[]> {
    const values = [
      textArray(asked.map((each) => each.tenant)),
      textArray(asked.map((each) => each.key)),
    ];
    const { rows } = await queryConfirmed<RecordRow & { place: string }>(this.#reads, {
      ...confirmedStatement,
      values,
    });
    const records = new Map(rows.map((row) => [Number(row.place), foundOf(row).record]));
    return asked.map((_, at) => records.get(at + 1));
  }
}
