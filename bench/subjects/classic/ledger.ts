import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import {
  findAnswer,
  findReservation,
  insertKey,
  insertMovement,
  insertMovements,
  insertReservation,
  lockLevel,
  lockLevels,
  shipReservation,
  updateLevel,
  updateLevels,
} from './statements.ts';

/** A change of one level. */
export interface Change {
  readonly warehouse: string;
  readonly product: string;
  readonly onHandChange: number;
  readonly reservedChange: number;
}

export interface Written extends Change {
  readonly onHand: number;
  readonly reserved: number;
}

export interface Posted {
  readonly id: string;
  readonly recordedAt: Date;
  readonly movements: readonly Written[];
}

interface Quantities {
  on_hand: number;
  reserved: number;
}

export class Refused extends Error {}

/** What a command does besides changing levels, in its transaction. */
export type Effect = (client: pg.PoolClient, postingId: string) => Promise<void>;

/**
 * One transaction of the classic design: the key, the levels locked, the levels updated, the
 * movements. A key that is known is answered with what it became.
 * @param changes sorted by warehouse and product
 */
export async function post(
  pool: pg.Pool,
  tenant: string,
  key: string,
  changes: readonly Change[],
  effect?: Effect,
): Promise<Posted> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const id = randomUUID();
    const { rowCount } = await client.query({ ...insertKey, values: [tenant, key, id] });
    if (rowCount === 0) {
      await client.query('ROLLBACK');
      return await replay(client, tenant, key);
    }
    const movements = (await lock(client, tenant, changes)).map((level, at) =>
      applied(changes[at] as Change, level),
    );
    await update(client, tenant, movements);
    const recordedAt = await record(client, tenant, id, movements);
    await effect?.(client, id);
    await client.query('COMMIT');
    return { id, recordedAt, movements };
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

function applied(change: Change, level: Quantities): Written {
  const onHand = level.on_hand + change.onHandChange;
  const reserved = level.reserved + change.reservedChange;
  if (reserved < 0 || onHand < reserved) throw new Refused('not enough stock');
  return { ...change, onHand, reserved };
}

async function lock(client: pg.PoolClient, tenant: string, changes: readonly Change[]) {
  const [one, second] = changes;
  const { rows } =
    one !== undefined && second === undefined
      ? await client.query<Quantities>({
          ...lockLevel,
          values: [tenant, one.warehouse, one.product],
        })
      : await client.query<Quantities>({
          ...lockLevels,
          values: [tenant, column(changes, 'warehouse'), column(changes, 'product')],
        });
  if (rows.length !== changes.length) throw new Refused('unknown product');
  return rows;
}

async function update(client: pg.PoolClient, tenant: string, to: readonly Written[]) {
  const [one, second] = to;
  await (one !== undefined && second === undefined
    ? client.query({
        ...updateLevel,
        values: [tenant, one.warehouse, one.product, one.onHand, one.reserved],
      })
    : client.query({
        ...updateLevels,
        values: [
          tenant,
          column(to, 'warehouse'),
          column(to, 'product'),
          column(to, 'onHand'),
          column(to, 'reserved'),
        ],
      }));
}

async function record(
  client: pg.PoolClient,
  tenant: string,
  id: string,
  movements: readonly Written[],
): Promise<Date> {
  const [one, second] = movements;
  const names = [
    'warehouse',
    'product',
    'onHandChange',
    'reservedChange',
    'onHand',
    'reserved',
  ] as const;
  const isOne = one !== undefined && second === undefined;
  const values = names.map((name) => (isOne ? one[name] : column(movements, name)));
  const statement = isOne ? insertMovement : insertMovements;
  const { rows } = await client.query<{ recorded_at: Date }>({
    ...statement,
    values: [tenant, id, ...values],
  });
  return rows[0]?.recorded_at ?? new Date();
}

function column<Row, Name extends keyof Row>(rows: readonly Row[], name: Name): Row[Name][] {
  return rows.map((row) => row[name]);
}

async function replay(client: pg.PoolClient, tenant: string, key: string): Promise<Posted> {
  const { rows } = await client.query({ ...findAnswer, values: [tenant, key] });
  const movements = rows.map((row) => ({
    warehouse: row.warehouse,
    product: row.product,
    onHandChange: row.on_hand_change,
    reservedChange: row.reserved_change,
    onHand: row.on_hand,
    reserved: row.reserved,
  }));
  return { id: rows[0].posting_id, recordedAt: rows[0].recorded_at, movements };
}

export function holdUnits(
  tenant: string,
  warehouse: string,
  lines: readonly { product: string; quantity: number }[],
): Effect {
  return async (client, id) => {
    const values = [tenant, id, warehouse, column(lines, 'product'), column(lines, 'quantity')];
    await client.query({ ...insertReservation, values });
  };
}

export function shipUnits(tenant: string, reservation: string): Effect {
  return async (client) => {
    const values = [tenant, reservation];
    const { rowCount } = await client.query({ ...shipReservation, values });
    if (rowCount === 0) throw new Refused('shipped already');
  };
}

/** What a reservation holds, as the changes of shipping it. */
export async function shipment(
  pool: pg.Pool,
  tenant: string,
  reservation: string,
): Promise<Change[]> {
  const { rows } = await pool.query({ ...findReservation, values: [tenant, reservation] });
  return rows.map(({ warehouse, product, quantity }) => ({
    warehouse,
    product,
    onHandChange: -quantity,
    reservedChange: -quantity,
  }));
}
