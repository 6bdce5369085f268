import type pg from 'pg';
import { levelKey } from './levels.ts';

/** The database as a run left it, read past the service. Quantities are safe integers. */
export interface Snapshot {
  readonly postings: readonly PostingRow[];
  /** By tenant and level, in the order of their sequences. */
  readonly movements: ReadonlyMap<string, readonly MovementRow[]>;
  readonly levels: readonly LevelRow[];
  readonly reservations: readonly ReservationRow[];
  readonly records: readonly RecordRow[];
}

export interface PostingRow {
  readonly tenant: string;
  readonly id: string;
  readonly type: string;
  readonly reference: string | null;
  readonly reservation: string | null;
  readonly reverses: string | null;
  /** Milliseconds since the epoch. */
  readonly recordedAt: number;
}

export interface MovementRow {
  readonly tenant: string;
  readonly warehouse: string;
  readonly product: string;
  readonly sequence: number;
  readonly posting: string;
  readonly onHandChange: number;
  readonly reservedChange: number;
  readonly onHand: number;
  readonly reserved: number;
  readonly unitCost: string | null;
  readonly recordedAt: number;
  /** Lower-case hex. */
  readonly hash: string;
}

export interface LevelRow {
  readonly tenant: string;
  readonly warehouse: string;
  readonly product: string;
  readonly onHand: number;
  readonly reserved: number;
  readonly sequence: number;
  readonly hash: string;
}

export interface ReservationRow {
  readonly tenant: string;
  readonly id: string;
  readonly expiresAt: number | null;
  readonly closed: boolean;
  /** By product. */
  readonly lines: Readonly<Record<string, ReservationLine>>;
}

export interface ReservationLine {
  readonly held: number;
  readonly shipped: number;
  readonly released: number;
  readonly expired: number;
}

export interface RecordRow {
  readonly tenant: string;
  readonly key: string;
  readonly status: number;
  readonly body: string;
  /** From its making to the end of its retention, in ms. */
  readonly keptMs: number;
}

const ms = (column: string) => `floor(extract(epoch FROM ${column}) * 1000)::float8`;

const statements = {
  postings: `SELECT tenant_id AS tenant, posting_id AS id, type, reference,
      reservation_id AS reservation, reverses, ${ms('recorded_at')} AS "recordedAt"
    FROM postings ORDER BY recorded_at, posting_id`,
  movements: `SELECT tenant_id AS tenant, warehouse, product, sequence::float8,
      posting_id AS posting, on_hand_change::float8 AS "onHandChange",
      reserved_change::float8 AS "reservedChange", on_hand::float8 AS "onHand", reserved::float8,
      unit_cost AS "unitCost", ${ms('recorded_at')} AS "recordedAt", encode(hash, 'hex') AS hash
    FROM movements ORDER BY tenant_id, warehouse, product, sequence`,
  levels: `SELECT tenant_id AS tenant, warehouse, product, on_hand::float8 AS "onHand",
      reserved::float8, sequence::float8, encode(hash, 'hex') AS hash FROM levels`,
  reservations: `SELECT r.tenant_id AS tenant, r.reservation_id AS id,
      ${ms('r.expires_at')} AS "expiresAt", r.closed,
      (SELECT json_object_agg(product, json_build_object(
         'held', quantity - shipped - released - expired,
         'shipped', shipped, 'released', released, 'expired', expired))
       FROM reservation_lines line
       WHERE line.tenant_id = r.tenant_id AND line.reservation_id = r.reservation_id) AS lines
    FROM reservations r`,
  records: `SELECT scope AS tenant, key, status, convert_from(body, 'UTF8') AS body,
      ${ms('expires_at')} - ${ms('created_at')} AS "keptMs"
    FROM idempotency_records`,
};

/** Reads everything in one snapshot of the database. */
export async function readSnapshot(client: pg.Client): Promise<Snapshot> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  const rows = async <Row extends pg.QueryResultRow>(sql: string) =>
    (await client.query<Row>(sql)).rows;
  const snapshot = {
    postings: await rows<PostingRow>(statements.postings),
    movements: Map.groupBy(await rows<MovementRow>(statements.movements), levelKey),
    levels: await rows<LevelRow>(statements.levels),
    reservations: await rows<ReservationRow>(statements.reservations),
    records: await rows<RecordRow>(statements.records),
  };
  await client.query('COMMIT');
  return snapshot;
}
