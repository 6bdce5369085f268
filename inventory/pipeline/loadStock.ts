import type { Catalogue } from '../postgres/findCatalogue.ts';
import type { Targets } from '../postgres/findTargets.ts';
import { type BatchContext, loadContext } from '../postgres/loadContext.ts';
import { loadReservations } from '../postgres/loadReservations.ts';
import { loadReversals } from '../postgres/loadReversals.ts';
import { type LockedLevel, lockLevels, readLevels } from '../postgres/lockLevels.ts';
import { lockReservations } from '../postgres/lockReservations.ts';
import type { Transaction } from '../postgres/transaction.ts';
import { levelKey, type Pair, type Reservation, type Stock } from '../stock/stock.ts';
import type { Footprint } from './footprint.ts';

/** What a batch decides on. */
export interface LoadedStock {
  readonly stock: Stock;
  readonly levels: Map<string, LockedLevel>;
  readonly context: BatchContext;
  /** Pairs without a level row: new ones, or of an unknown warehouse or product. */
  readonly missing: Pair[];
}

export interface LoadRequest {
  readonly tenant: string;
  readonly footprint: Footprint;
  readonly targets: Targets | undefined;
  /** What `missing` pairs of an earlier load turned out to be. */
  readonly catalogue: Catalogue | undefined;
  readonly keys: readonly string[];
  /**
   * `lock` takes the rows for the rest of the transaction, in the fixed order; `read` takes none.
   */
  readonly mode: 'lock' | 'read';
}

/**
 * Loads everything a batch decides on, in one round trip.
 *
 * The order is the guarantee: reservations by id, then levels by (warehouse, product), then what is
 * only true while those are held — the clock, recorded keys, overdue holds, reservation lines.
 */
export async function loadStock(
  transaction: Transaction,
  request: LoadRequest,
): Promise<LoadedStock> {
  const { tenant, footprint, targets, keys, mode } = request;
  const { reservations: reservationIds, pairs, postings: postingIds } = footprint;
  const issued = transaction.pipelined(
    () =>
      [
        transaction.begin(),
        mode === 'lock' && reservationIds.length > 0
          ? lockReservations(transaction, tenant, reservationIds)
          : undefined,
        pairs.length === 0
          ? []
          : mode === 'lock'
            ? lockLevels(transaction, tenant, pairs)
            : readLevels(transaction, tenant, pairs),
        loadContext(transaction, tenant, keys, pairs),
        reservationIds.length > 0 ? loadReservations(transaction, tenant, reservationIds) : [],
        postingIds.length > 0 ? loadReversals(transaction, tenant, postingIds) : new Map(),
      ] as const,
  );
  const [, , levels, context, reservations, reversals] = await Promise.all(issued);
  const byKey = new Map(levels.map((level) => [levelKey(level.warehouse, level.product), level]));
  return {
    levels: byKey,
    context,
    missing: pairs.filter((pair) => !byKey.has(levelKey(pair.warehouse, pair.product))),
    stock: {
      tenant,
      ...knownCodes(levels, request.catalogue, context.backorderProducts),
      levels: byKey,
      reservations: new Map(reservations.map((r: Reservation) => [r.id, r])),
      postings: new Map(
        [...(targets?.postings ?? [])].map(([id, posting]) => [
          id,
          { ...posting, reversedBy: reversals.get(id) ?? null },
        ]),
      ),
      overdue: context.overdue,
    },
  };
}

/** A level row proves its warehouse and product; only missing rows need the catalogue. */
function knownCodes(
  levels: readonly LockedLevel[],
  catalogue: Catalogue | undefined,
  backorderProducts: readonly string[],
): Pick<Stock, 'warehouses' | 'products'> {
  const warehouses = new Set(catalogue?.warehouses);
  const products: Stock['products'] = new Map();
  for (const product of catalogue?.products ?? []) products.set(product, noBackorder);
  for (const { warehouse, product } of levels) {
    warehouses.add(warehouse);
    products.set(product, noBackorder);
  }
  for (const product of backorderProducts) products.set(product, { allowBackorder: true });
  return { warehouses, products };
}

const noBackorder = { allowBackorder: false } as const;
