import type { IdempotencyRecord } from '@onhand/idempotency';
import type pg from 'pg';
import { hasStandbys, type Standbys } from './awaitStandbys.ts';

interface Row {
  fingerprint: string;
  status: number;
  headers: string;
  body: Buffer;
  expiresAt: number;
  hasStandbys: boolean;
}

const statement = {
  name: 'find-record',
  text: `
    SELECT encode(fingerprint, 'hex') AS fingerprint, status, headers, body,
           (extract(epoch FROM expires_at) * 1000)::bigint AS "expiresAt",
           ${hasStandbys}
    FROM idempotency_records
    WHERE scope = $1 AND key = $2 AND expires_at > clock_timestamp()`,
};

/** The answer that is recorded under a key, while it is retained; once the standbys have it. */
export async function findRecord(
  pool: pg.Pool,
  standbys: Standbys,
  tenant: string,
  key: string,
): Promise<IdempotencyRecord | undefined> {
  const { rows } = await pool.query<Row>({ ...statement, values: [tenant, key] });
  const [row] = rows;
  if (row === undefined) return undefined;
  if (row.hasStandbys) await standbys.confirm();
  const { fingerprint, status, headers, body, expiresAt } = row;
  return { fingerprint, answer: { status, headers: JSON.parse(headers), body }, expiresAt };
}
