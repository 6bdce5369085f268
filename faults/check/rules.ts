import type { Command } from '../workload/history.ts';
import { levelKey } from './levels.ts';
import type { PostingRow } from './snapshot.ts';
import type { Held, World } from './world.ts';

/** What a command does to levels: `[onHand, reserved]` changes by level key. */
export type Effect = Map<string, [onHand: number, reserved: number]>;

/** The command cannot have taken effect on this state. */
export class Impossible extends Error {}

/**
 * What the API's description says a command does, on the state before it. It is written from the
 * description alone, so that a mistake of the service is not repeated here.
 * @throws Impossible when it says that the command is refused
 */
export function effectOf(world: World, posting: PostingRow, command: Command): Effect {
  const { tenant } = posting;
  const effect: Effect = new Map();
  const add = (warehouse: string, product: string, onHand: number, reserved: number) => {
    const key = levelKey({ tenant, warehouse, product });
    const [a, b] = effect.get(key) ?? [0, 0];
    effect.set(key, [a + onHand, b + reserved]);
  };
  switch (command.type) {
    case 'receipt':
      for (const { product, quantity } of command.lines)
        add(command.warehouse, product, quantity, 0);
      break;
    case 'shipment':
      for (const { product, quantity } of command.lines) {
        add(command.warehouse, product, -quantity, 0);
      }
      break;
    case 'transfer':
      for (const { product, quantity } of command.lines) {
        add(command.from, product, -quantity, 0);
        add(command.to, product, quantity, 0);
      }
      break;
    case 'adjustment':
      for (const { product, change } of command.lines) add(command.warehouse, product, change, 0);
      break;
    case 'count':
      for (const line of command.lines) {
        const key = levelKey({ tenant, warehouse: command.warehouse, product: line.product });
        const { onHand, sequence } = world.standing(key);
        if ((line.expectedOnHand ?? onHand) !== onHand) throw new Impossible('on hand has changed');
        if (
          ![sequence, sequenceRead(world, posting, key)].includes(line.expectedSequence ?? sequence)
        ) {
          throw new Impossible('the sequence has changed');
        }
        add(command.warehouse, line.product, line.counted - onHand, 0);
      }
      break;
    case 'reservation':
      for (const { product, quantity } of command.lines)
        add(command.warehouse, product, 0, quantity);
      break;
    case 'reservation-ship':
    case 'reservation-release': {
      const held = activeReservation(world, posting, command.reservation);
      for (const [product, quantity] of askedOf(held, command.lines)) {
        if (quantity > (held.units.get(product) ?? 0)) throw new Impossible('more than is held');
        const ships = command.type === 'reservation-ship';
        add(held.warehouse, product, ships ? -quantity : 0, -quantity);
      }
      break;
    }
    case 'reservation-extend':
      activeReservation(world, posting, command.reservation);
      break;
    case 'reversal':
      reverse(world, posting, command.posting, add);
  }
  return effect;
}

function activeReservation(world: World, posting: PostingRow, id: string): Held {
  const held = world.reservations.get(id);
  if (held === undefined || held.tenant !== posting.tenant) throw new Impossible('no reservation');
  if ([...held.units.values()].every((units) => units === 0) && !held.lapsed) {
    throw new Impossible('the reservation is closed');
  }
  refuseExpired(held, posting);
  return held;
}

function refuseExpired(held: Held, { recordedAt }: PostingRow): void {
  if (held.lapsed || (held.expiresAt !== null && held.expiresAt <= recordedAt)) {
    throw new Impossible(`the reservation has expired at ${held.expiresAt}, before ${recordedAt}`);
  }
}

function askedOf(
  held: Held,
  lines: readonly { product: string; quantity: number }[] | undefined,
): Map<string, number> {
  if (lines === undefined) return new Map([...held.units].filter(([, units]) => units > 0));
  const asked = new Map<string, number>();
  for (const { product, quantity } of lines) {
    asked.set(product, (asked.get(product) ?? 0) + quantity);
  }
  return asked;
}

function reverse(
  world: World,
  posting: PostingRow,
  id: string,
  add: (warehouse: string, product: string, onHand: number, reserved: number) => void,
): void {
  const original = world.postings.get(id);
  if (original === undefined || original.tenant !== posting.tenant) {
    throw new Impossible('no such posting');
  }
  if (world.reversed.has(id)) throw new Impossible('the posting was reversed before');
  if (original.type === 'expiry') throw new Impossible('it is an expiry');
  const held = world.reservations.get(original.reservation ?? '');
  for (const movement of world.movements.get(id) ?? []) {
    const { warehouse, product, onHandChange, reservedChange } = movement;
    // Units come back to a reservation at any time; they are taken from it until it expires.
    if (held !== undefined && reservedChange > 0) refuseExpired(held, posting);
    add(warehouse, product, -onHandChange, -reservedChange);
  }
}

/** A read shows the sequence from before the expiries that are booked with the next command. */
function sequenceRead(world: World, { recordedAt }: PostingRow, key: string): number {
  const { sequence } = world.standing(key);
  const lapse = world.lapses.get(key);
  return lapse?.after === sequence && lapse.recordedAt === recordedAt ? lapse.before : sequence;
}
