import type { OverdueHold, Pair } from '../stock/stock.ts';
import { textArray } from './arrays.ts';
import { heldUnits } from './heldUnits.ts';
import { overdueLines } from './overdueLines.ts';
import type { Transaction } from './transaction.ts';

/** An answer that was recorded under a key, as the database holds it. */
export interface StoredRecord {
  readonly key: string;
  /** SHA-256, lower-case hex. */
  readonly fingerprint: string;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface BatchContext {
  /** The database's clock after the locks were taken, in milliseconds since the epoch. */
  readonly now: number;
  /** Records of the batch's keys that are still retained. */
  readonly records: StoredRecord[];
  /** Keys whose record has outlived its retention and stands in the way of a new one. */
  readonly lapsedKeys: string[];
  /** All of them, or `overdueMax` + 1 where there are more. */
  readonly overdue: OverdueHold[];
  /** Those of the batch's products that may be sold below zero. */
  readonly backorderProducts: string[];
  /** Whether commits wait for synchronous standbys. */
  readonly hasStandbys: boolean;
}

type RecordRow = [string, string, number, string, string, number];
type HoldRow = [string, string, string, number];
type Row = [number, RecordRow[] | null, HoldRow[] | null, string[] | null, boolean];

/**
 * Overdue holds that one batch gives back: some 200 ms of work. A sale may leave 100,000 on one
 * level, and a transaction that gave all of them back would be ended by its time-outs, every time.
 */
export const overdueMax = 2_000;

const statement = {
  name: 'load-context',
  text: `
    WITH clock AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) AS now)
    SELECT
      (extract(epoch FROM now) * 1000)::bigint,
      (SELECT json_agg(json_build_array(r.key, encode(r.fingerprint, 'hex'), r.status, r.headers,
                                        encode(r.body, 'base64'),
                                        (extract(epoch FROM r.expires_at) * 1000)::bigint))
       FROM idempotency_records r
       WHERE r.scope = $1 AND r.key = ANY($2::text[])),
      (SELECT json_agg(json_build_array(line.reservation_id, line.warehouse, line.product, ${heldUnits})
                       ORDER BY line.reservation_id, line.position)
       FROM (SELECT line.*
             FROM ${overdueLines('$3', '$4', 'clock.now')}
             LIMIT ${overdueMax} + 1) line),
      (SELECT json_agg(product) FROM products
       WHERE tenant_id = $1 AND product = ANY($4::text[]) AND allow_backorder),
      current_setting('synchronous_standby_names') <> ''
    FROM clock`,
};

/**
 * What a batch must know besides its levels: the time, the keys that already have an answer, the
 * holds on its levels that are over, and which products allow backorder.
 *
 * Issue it behind `lockLevels`: only a snapshot taken after the locks shows what their last holder
 * committed. The time and the overdue holds come from one reading of the clock, so that a hold is
 * never both over for one and still running for the other.
 */
export async function loadContext(
  transaction: Transaction,
  tenant: string,
  keys: readonly string[],
  pairs: readonly Pair[],
): Promise<BatchContext> {
  const { rows } = await transaction.query<Row>({
    ...statement,
    values: [
      tenant,
      textArray(keys),
      textArray(pairs.map((pair) => pair.warehouse)),
      textArray(pairs.map((pair) => pair.product)),
    ],
  });
  const [now, records, holds, backorderProducts, hasStandbys] = rows[0] as Row;
  const all = records ?? [];
  return {
    now,
    records: all.filter((record) => record[5] > now).map(storedRecord),
    lapsedKeys: all.filter((record) => record[5] <= now).map((record) => record[0]),
    overdue: (holds ?? []).map(([reservation, warehouse, product, quantity]) => ({
      reservation,
      warehouse,
      product,
      quantity,
    })),
    backorderProducts: backorderProducts ?? [],
    hasStandbys,
  };
}

function storedRecord([
  key,
  fingerprint,
  status,
  headers,
  body,
  expiresAt,
]: RecordRow): StoredRecord {
  return {
    key,
    fingerprint,
    status,
    headers: JSON.parse(headers),
    body: Buffer.from(body, 'base64'),
    expiresAt,
  };
}
