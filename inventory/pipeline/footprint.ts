import type { Targets } from '../postgres/findTargets.ts';
import type { Command } from '../stock/commands.ts';
import { levelKey, type Pair } from '../stock/stock.ts';

/** The rows that a batch must hold before it decides, in the order in which they are locked. */
export interface Footprint {
  readonly reservations: string[];
  readonly pairs: Pair[];
  /** Postings to reverse. They are immutable, so nothing locks them but their levels. */
  readonly postings: string[];
}

/** The postings and reservations that commands name by id: their levels must be looked up first. */
export function namedTargets(commands: readonly Command[]): {
  postings: string[];
  reservations: string[];
} {
  const postings = new Set<string>();
  const reservations = new Set<string>();
  for (const command of commands) {
    if ('reservation' in command) addUuid(reservations, command.reservation);
    else if (command.type === 'reversal') addUuid(postings, command.posting);
  }
  return { postings: [...postings], reservations: [...reservations] };
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A name that is no UUID names nothing, and the database would not take it as one. */
function addUuid(ids: Set<string>, id: string): void {
  if (UUID.test(id)) ids.add(id);
}

/**
 * @param targets what `namedTargets` were found to be; undefined when there were none
 * @returns sorted and without duplicates, so that any two batches take what they share in one order
 */
export function footprintOf(commands: readonly Command[], targets?: Targets): Footprint {
  const pairs = new Map<string, Pair>();
  const add = (warehouse: string, product: string) => {
    const key = levelKey(warehouse, product);
    if (!pairs.has(key)) pairs.set(key, { warehouse, product });
  };
  for (const command of commands) {
    if ('from' in command) {
      for (const { product } of command.lines) {
        add(command.from, product);
        add(command.to, product);
      }
    } else if ('warehouse' in command) {
      for (const { product } of command.lines) add(command.warehouse, product);
    } else if ('reservation' in command && 'lines' in command) {
      // A line may name a product that the reservation does not hold; the answer depends on whether
      // it is registered.
      const warehouse = targets?.reservations.get(command.reservation)?.[0]?.warehouse;
      if (warehouse === undefined) continue;
      for (const { product } of command.lines ?? []) add(warehouse, product);
    }
  }
  for (const held of targets?.reservations.values() ?? []) {
    for (const { warehouse, product } of held) add(warehouse, product);
  }
  for (const { movements } of targets?.postings.values() ?? []) {
    for (const { warehouse, product } of movements) add(warehouse, product);
  }
  return {
    reservations: [...(targets?.reservations.keys() ?? [])].sort(),
    pairs: [...pairs.values()].sort(byWarehouseAndProduct),
    postings: [...(targets?.postings.keys() ?? [])].sort(),
  };
}

/** Codes are ASCII, so the order of UTF-16 units is the C collation's. */
function byWarehouseAndProduct(a: Pair, b: Pair): number {
  if (a.warehouse !== b.warehouse) return a.warehouse < b.warehouse ? -1 : 1;
  return a.product < b.product ? -1 : a.product > b.product ? 1 : 0;
}

/**
 * How many lines a command has, as far as that is known from itself. One that takes over the lines
 * of a posting or a reservation counts as one.
 */
export function linesOf(command: Command): number {
  // A line of a transfer moves two levels.
  if ('from' in command) return 2 * command.lines.length;
  if ('lines' in command && command.lines !== undefined) return command.lines.length;
  return 1;
}

/**
 * How many of the first commands stay within the lines of a batch, now that it is known how many
 * lines a reservation or a reversed posting has. All lines of a reservation are loaded and written,
 * however few of them a command names, and once for all of its commands. One command always fits.
 */
export function fittingOf(
  commands: readonly Command[],
  targets: Targets | undefined,
  linesMax: number,
): number {
  if (targets === undefined) return commands.length;
  const reservations = new Set<string>();
  let lines = 0;
  for (const [index, command] of commands.entries()) {
    lines += linesOf(command);
    const reversed =
      command.type === 'reversal' ? targets.postings.get(command.posting) : undefined;
    lines += reversed?.movements.length ?? 0;
    const reservation = 'reservation' in command ? command.reservation : reversed?.reservation;
    if (reservation && !reservations.has(reservation)) {
      reservations.add(reservation);
      lines += targets.reservations.get(reservation)?.length ?? 0;
    }
    if (lines > linesMax && index > 0) return index;
  }
  return commands.length;
}

/** What of the targets these commands name. */
export function targetsOf(
  commands: readonly Command[],
  targets: Targets | undefined,
): Targets | undefined {
  if (targets === undefined) return undefined;
  const named = namedTargets(commands);
  const postings = pick(targets.postings, named.postings);
  const reversed = [...postings.values()].flatMap(({ reservation }) => reservation ?? []);
  return {
    postings,
    reservations: pick(targets.reservations, [...named.reservations, ...reversed]),
  };
}

function pick<T>(all: ReadonlyMap<string, T>, ids: readonly string[]): Map<string, T> {
  const found = new Map<string, T>();
  for (const id of ids) {
    const value = all.get(id);
    if (value !== undefined) found.set(id, value);
  }
  return found;
}
