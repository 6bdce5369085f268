import type { IdempotencyRecord } from '@onhand/idempotency';
import type pg from 'pg';

/** A row of {@link recordColumns}. */
export interface RecordRow {
  fingerprint: string;
  status: number;
  headers: string;
  body: Buffer;
  expiresAt: number;
  hasStandbys: boolean;
}

/** A record, and whether an answer from it must wait for standbys, see {@link ConfirmedRecords}. */
export interface Found {
  readonly record: IdempotencyRecord;
  readonly hasStandbys: boolean;
}

/** What {@link foundOf} reads. */
export const recordColumns = `
  encode(fingerprint, 'hex') AS fingerprint, status, headers, body,
  (extract(epoch FROM expires_at) * 1000)::bigint AS "expiresAt",
  current_setting('synchronous_standby_names') <> '' AS "hasStandbys"`;

const statement = {
  name: 'find-record',
  text: `
    SELECT ${recordColumns} FROM idempotency_records
    WHERE scope = $1 AND key = $2 AND expires_at > clock_timestamp()`,
};

/** The answer that is recorded under a key, while it is retained. */
export async function findRecord(
  pool: pg.Pool,
  tenant: string,
  key: string,
): Promise<Found | undefined> {
  const { rows } = await pool.query<RecordRow>({ ...statement, values: [tenant, key] });
  return rows[0] && foundOf(rows[0]);
}

export function foundOf(row: RecordRow): Found {
  const { fingerprint, status, headers, body, expiresAt, hasStandbys } = row;
  const answer = { status, headers: JSON.parse(headers), body };
  return { record: { fingerprint, answer, expiresAt }, hasStandbys };
}
