/** The rules of the stock once more, over `LedgerModel`: what should become of a command. */

import type {
  Command,
  CountCommand,
  Expiry,
  ReservationCommand,
  ReservationExtendCommand,
  ReservationReleaseCommand,
  ReservationShipCommand,
} from '../commands.ts';
import type { Effect, Entry, LedgerModel } from './ledgerModel.ts';

/** A refusal's code, or what the command does. */
export type Expected = { code: string } | Effect;

export interface Catalogue {
  warehouses: readonly string[];
  /** By product: does it allow backorder? */
  backorder: Map<string, boolean>;
}

const max = BigInt(Number.MAX_SAFE_INTEGER);
const magnitude = (units: bigint): bigint => (units < 0n ? -units : units);

export function expect(
  ledger: LedgerModel,
  catalogue: Catalogue,
  command: Command,
  now: number,
): Expected {
  const named = 'lines' in command ? (command.lines ?? []) : [];
  const places: unknown[] = ['from', 'to', 'warehouse'].flatMap((field) =>
    field in command ? [command[field as keyof Command]] : [],
  );
  if (places.some((place) => !catalogue.warehouses.includes(`${place}`))) {
    return { code: 'unknown-warehouse' };
  }
  if ('reservation' in command && !ledger.reservation(command.reservation)) {
    return { code: 'not-found' };
  }
  if (named.some((line) => !catalogue.backorder.has(line.product))) {
    return { code: 'unknown-product' };
  }
  const effect = effectOf(ledger, command, now);
  if ('code' in effect) return effect;
  return stockRefusal(ledger, catalogue, effect.entries) ?? effect;
}

function effectOf(ledger: LedgerModel, command: Command, now: number): Expected {
  switch (command.type) {
    case 'receipt':
      return { entries: onHand(command.warehouse, command.lines, (line) => line.quantity) };
    case 'shipment':
      return { entries: onHand(command.warehouse, command.lines, (line) => -line.quantity) };
    case 'adjustment':
      return { entries: onHand(command.warehouse, command.lines, (line) => line.change) };
    case 'transfer': {
      if (command.from === command.to) return { code: 'validation-failed' };
      const out = onHand(command.from, command.lines, (line) => -line.quantity);
      return { entries: [...out, ...onHand(command.to, command.lines, (line) => line.quantity)] };
    }
    case 'count':
      return countEffect(ledger, command);
    case 'reservation':
      return reservationEffect(command, now);
    case 'reservation-ship':
    case 'reservation-release':
      return heldEffect(ledger, command, now);
    case 'reservation-extend':
      return extendEffect(ledger, command, now);
    case 'reversal':
      return reversalEffect(ledger, command.posting, now);
  }
}

function onHand<L extends { product: string }>(
  warehouse: string,
  lines: readonly L[],
  unitsOf: (line: L) => number,
): Entry[] {
  return lines.map((line) => {
    return { warehouse, product: line.product, purpose: 'stock', units: BigInt(unitsOf(line)) };
  });
}

function countEffect(ledger: LedgerModel, { warehouse, lines }: CountCommand): Expected {
  if (new Set(lines.map((line) => line.product)).size < lines.length) {
    return { code: 'validation-failed' };
  }
  const changed = lines.some(({ product, expectedOnHand }) => {
    if (expectedOnHand === undefined) return false;
    return BigInt(expectedOnHand) !== ledger.level(warehouse, product).onHand;
  });
  if (changed) return { code: 'stock-changed' };
  const entries = lines.map(({ product, counted }): Entry => {
    const units = BigInt(counted) - ledger.level(warehouse, product).onHand;
    return { warehouse, product, purpose: 'stock', units };
  });
  return { entries };
}

function instantOf(expiry: Expiry, now: number): number {
  const { expiresAt, ttlSeconds } = expiry;
  if (expiresAt !== undefined) return expiresAt;
  return ttlSeconds === undefined ? Number.POSITIVE_INFINITY : now + ttlSeconds * 1000;
}

function reservationEffect(command: ReservationCommand, now: number): Expected {
  const { warehouse } = command;
  const expiresAt = instantOf(command, now);
  if (expiresAt <= now) return { code: 'validation-failed' };
  const entries = command.lines.map(({ product, quantity }): Entry => {
    return { warehouse, product, purpose: 'hold', units: BigInt(quantity) };
  });
  return { entries, expiresAt };
}

function isClosed(ledger: LedgerModel, id: string): boolean {
  const lines = ledger.productsOf(id).map((product) => ledger.line(id, product));
  return lines.every((line) => line.held === 0n && line.expired === 0n);
}

function refusedState(ledger: LedgerModel, id: string, now: number): string | undefined {
  const reservation = ledger.reservation(id);
  if (!reservation) return 'not-found';
  if (isClosed(ledger, id)) return 'reservation-closed';
  return now >= reservation.expiresAt ? 'reservation-expired' : undefined;
}

function heldEffect(
  ledger: LedgerModel,
  command: ReservationShipCommand | ReservationReleaseCommand,
  now: number,
): Expected {
  const id = command.reservation;
  const code = refusedState(ledger, id, now);
  if (code) return { code };
  const warehouse = ledger.reservation(id)?.warehouse ?? '';
  const purpose = command.type === 'reservation-ship' ? 'ship' : 'release';
  const products = command.lines?.map((line) => line.product) ?? ledger.productsOf(id);
  const entries = [...new Set(products)].map((product): Entry => {
    const own = command.lines?.filter((line) => line.product === product);
    const units = own?.reduce((sum, line) => sum + BigInt(line.quantity), 0n);
    return { warehouse, product, purpose, units: units ?? ledger.line(id, product).held };
  });
  const short = entries.some(({ product, units }) => {
    return units <= max && units > ledger.line(id, product).held;
  });
  return short ? { code: 'insufficient-stock' } : { entries };
}

function extendEffect(
  ledger: LedgerModel,
  command: ReservationExtendCommand,
  now: number,
): Expected {
  const code = refusedState(ledger, command.reservation, now);
  if (code) return { code };
  const expiresAt = instantOf(command, now);
  const current = ledger.reservation(command.reservation)?.expiresAt ?? 0;
  return expiresAt > current ? { entries: [], expiresAt } : { code: 'validation-failed' };
}

function reversalEffect(ledger: LedgerModel, id: string, now: number): Expected {
  const original = ledger.postings.find((posting) => posting.id === id);
  if (!original) return { code: 'not-found' };
  if (original.type === 'expiry') return { code: 'reservation-expired' };
  if (original.type === 'reservation-extend') return { code: 'validation-failed' };
  if (original.reversedBy) return { code: 'already-reversed' };
  const entries = original.entries.map((entry): Entry => {
    // A hold taken back counts as released, so that the line keeps its quantity.
    if (entry.purpose === 'hold') return { ...entry, purpose: 'release' };
    return { ...entry, units: -entry.units };
  });
  const reservation = ledger.reservation(original.reservation);
  if (!reservation) return { entries };
  const takesAway = entries.some(({ purpose, units }) => purpose !== 'stock' && units > 0n);
  if (takesAway && now >= reservation.expiresAt) return { code: 'reservation-expired' };
  const lines = entries.map(({ product }) => ledger.line(reservation.id, product, entries));
  const broken = lines.some((line) => line.held < 0n || line.shipped < 0n || line.released < 0n);
  if (!broken) return { entries };
  return { code: isClosed(ledger, reservation.id) ? 'reservation-closed' : 'insufficient-stock' };
}

function stockRefusal(
  ledger: LedgerModel,
  { backorder }: Catalogue,
  entries: readonly Entry[],
): { code: string } | undefined {
  const judged = entries.map(({ warehouse, product }) => {
    const before = ledger.level(warehouse, product);
    const after = ledger.level(warehouse, product, entries);
    const changes = [after.onHand - before.onHand, after.reserved - before.reserved];
    const sayable = changes.every((change) => magnitude(change) <= max);
    const lowersOnHand = after.onHand < before.onHand && after.onHand < 0n;
    const lowersAvailable = after.available < before.available && after.available < 0n;
    const short = sayable && (lowersOnHand || lowersAvailable) && !backorder.get(product);
    const kept = [after.onHand, after.reserved, after.available];
    return { short, beyond: !sayable || kept.some((quantity) => magnitude(quantity) > max) };
  });
  if (judged.some(({ short }) => short)) return { code: 'insufficient-stock' };
  return judged.some(({ beyond }) => beyond) ? { code: 'quantity-overflow' } : undefined;
}
