import type { StoredRecord } from '../postgres/loadContext.ts';
import type { LockedLevel } from '../postgres/lockLevels.ts';
import type { ReservationWrite } from '../postgres/upsertReservations.ts';
import type { Posted, Posting } from '../stock/outcomes.ts';
import { levelKey, reservationStatus } from '../stock/stock.ts';
import type { LoadedStock } from './loadStock.ts';

/** Everything that one batch writes. */
export interface Effects {
  readonly postings: Posting[];
  readonly expiries: Posting[];
  readonly levels: LockedLevel[];
  readonly reservations: ReservationWrite[];
  readonly records: StoredRecord[];
}

/** The last state of every row that the outcomes touched, from the evolved working state. */
export function effectsOf(
  loaded: LoadedStock,
  posted: readonly Posted[],
  records: StoredRecord[],
): Effects {
  const levels = new Map<string, LockedLevel>();
  const reservations = new Map<string, ReservationWrite>();
  for (const { posting, reservation } of posted) {
    for (const { warehouse, product } of posting.movements) {
      const key = levelKey(warehouse, product);
      if (!levels.has(key)) levels.set(key, loaded.levels.get(key) as LockedLevel);
    }
    if (reservation !== undefined && posting.type !== 'expiry') {
      const closed = reservationStatus(reservation, loaded.context.now) === 'closed';
      reservations.set(reservation.id, { ...reservation, closed });
    }
  }
  for (const level of levels.values()) {
    const belowZero = level.onHand < 0 || level.reserved > level.onHand;
    const { allowBackorder } = loaded.stock.products.get(level.product) ?? {
      allowBackorder: false,
    };
    level.mayBeNegative = allowBackorder || (level.mayBeNegative && belowZero);
  }
  return {
    postings: posted.map(({ posting }) => posting),
    expiries: posted.map(({ posting }) => posting).filter(({ type }) => type === 'expiry'),
    levels: [...levels.values()],
    reservations: [...reservations.values()],
    records,
  };
}
