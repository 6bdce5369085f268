import type pg from 'pg';
import type { PostingType } from '../stock/outcomes.ts';
import type { Pair, ReversibleMovement } from '../stock/stock.ts';
import { textArray } from './arrays.ts';

/** A posting that a reversal names. */
export interface TargetPosting {
  readonly id: string;
  readonly type: PostingType;
  readonly reservation: string | null;
  readonly movements: readonly ReversibleMovement[];
}

export interface Targets {
  readonly postings: Map<string, TargetPosting>;
  /** The levels that each reservation holds units of. */
  readonly reservations: Map<string, Pair[]>;
}

const postingsStatement = {
  name: 'find-target-postings',
  text: `
    SELECT p.posting_id AS id, p.type, p.reservation_id AS reservation,
           coalesce((SELECT json_agg(json_build_object(
                       'warehouse', m.warehouse, 'product', m.product,
                       'onHandChange', m.on_hand_change, 'reservedChange', m.reserved_change)
                     ORDER BY m.position)
                     FROM movements m
                     WHERE m.tenant_id = $1 AND m.posting_id = p.posting_id), '[]') AS movements
    FROM postings p
    WHERE p.tenant_id = $1 AND p.posting_id = ANY($2::uuid[])`,
};

const reservationsStatement = {
  name: 'find-target-reservations',
  text: `
    SELECT reservation_id AS reservation, warehouse, product FROM reservation_lines
    WHERE tenant_id = $1 AND reservation_id = ANY($2::uuid[])`,
};

/**
 * What the postings and reservations that a batch names stand for, as far as it never changes: it
 * tells which rows to lock, so it is read before the locks. One round trip for reservations, one
 * more where postings are named, whose reservations are not known before.
 */
export async function findTargets(
  pool: pg.Pool,
  tenant: string,
  postingIds: readonly string[],
  reservationIds: readonly string[],
): Promise<Targets> {
  const found = postingIds.length === 0 ? [] : await findPostings(pool, tenant, postingIds);
  const postings = new Map(found.map((posting) => [posting.id, posting]));
  const named = new Set(reservationIds);
  for (const { reservation } of found) if (reservation !== null) named.add(reservation);
  const lines = named.size === 0 ? [] : await findLines(pool, tenant, [...named]);
  const reservations = new Map<string, Pair[]>([...named].map((id) => [id, []]));
  for (const { reservation, warehouse, product } of lines) {
    reservations.get(reservation)?.push({ warehouse, product });
  }
  return { postings, reservations };
}

async function findPostings(
  pool: pg.Pool,
  tenant: string,
  ids: readonly string[],
): Promise<TargetPosting[]> {
  const values = [tenant, textArray(ids)];
  return (await pool.query<TargetPosting>({ ...postingsStatement, values })).rows;
}

async function findLines(
  pool: pg.Pool,
  tenant: string,
  reservations: readonly string[],
): Promise<(Pair & { reservation: string })[]> {
  const values = [tenant, textArray(reservations)];
  return (await pool.query({ ...reservationsStatement, values })).rows;
}
