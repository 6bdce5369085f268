import { isDeepStrictEqual } from 'node:util';
import type { Command, History } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import { checkAnswer } from './answers.ts';
import type { Fate } from './clients.ts';
import { levelKey } from './levels.ts';
import { inOrder } from './ordering.ts';
import { type Effect, effectOf, Impossible } from './rules.ts';
import type { MovementRow, PostingRow, ReservationRow, Snapshot } from './snapshot.ts';
import { countOf, type Held, isClosed, unitsHeld, World } from './world.ts';

/** Difference of clocks that is nobody's fault: the database truncates to milliseconds. */
export const clockToleranceMs = 50;

/** Plays all postings again, in one order, on a model of the stock, and compares each effect. */
export function replay(
  history: History,
  snapshot: Snapshot,
  fates: ReadonlyMap<string, Fate>,
  report: Report,
): World {
  const world = new World(snapshot);
  const operations = new Map(history.operations.map((each) => [each.id, each]));
  const movementsOf = ({ id }: PostingRow) => world.movements.get(id) ?? [];
  for (const posting of inOrder(snapshot.postings, movementsOf, report)) {
    const movements = movementsOf(posting);
    const operation = operations.get(posting.reference ?? '');
    if (posting.type === 'expiry') checkExpiry(world, posting, movements, report);
    else if (operation === undefined) {
      report(
        'exactly-once',
        `posting ${posting.id} (${posting.reference}) was asked for by nobody`,
      );
    } else {
      checkEffect(world, posting, operation.command, movements, report);
      checkClock(posting, fates.get(operation.id), report);
    }
    apply(world, posting, operation?.command, movements);
    const held = world.reservations.get(posting.reservation ?? '');
    checkAnswer(posting, movements, held, fates.get(operation?.id ?? ''), report);
  }
  checkReservations(world, snapshot, report);
  return world;
}

function checkEffect(
  world: World,
  posting: PostingRow,
  command: Command,
  movements: readonly MovementRow[],
  report: Report,
): void {
  const name = `${posting.reference} (${command.type})`;
  if (posting.type !== command.type) report('effect', `${name} was posted as ${posting.type}`);
  try {
    const expected = textOf(effectOf(world, posting, command));
    const happened = textOf(sumOf(movements));
    if (expected !== happened) report('effect', `${name} did ${happened} instead of ${expected}`);
  } catch (error) {
    if (!(error instanceof Impossible)) throw error;
    report('effect', `${name} took effect although ${error.message}`);
  }
}

function sumOf(movements: readonly MovementRow[]): Effect {
  const sum: Effect = new Map();
  for (const movement of movements) {
    const [onHand, reserved] = sum.get(levelKey(movement)) ?? [0, 0];
    const { onHandChange, reservedChange } = movement;
    sum.set(levelKey(movement), [onHand + onHandChange, reserved + reservedChange]);
  }
  return sum;
}

function textOf(effect: Effect): string {
  const parts = [...effect].map(([key, [onHand, reserved]]) => `${key} ${onHand}/${reserved}`);
  return `[${parts.sort().join(', ')}]`;
}

function checkExpiry(
  world: World,
  { id, reservation, recordedAt }: PostingRow,
  movements: readonly MovementRow[],
  report: Report,
): void {
  const held = world.reservations.get(reservation ?? '');
  if (held === undefined) {
    report('effect', `expiry ${id} is of no reservation`);
    return;
  }
  if (held.expiresAt === null || held.expiresAt > recordedAt) {
    report('clock', `reservation ${held.id} was given back before ${held.expiresAt}`);
  }
  for (const { warehouse, product, onHandChange, reservedChange } of movements) {
    const isAll = onHandChange === 0 && -reservedChange === held.units.get(product);
    if (isAll && warehouse === held.warehouse) continue;
    report('effect', `expiry ${id} gave back ${-reservedChange} of ${product} in ${warehouse}`);
  }
}

/**
 * The database's clock is this machine's: a posting was recorded while its request was under way.
 */
function checkClock({ id, recordedAt }: PostingRow, fate: Fate | undefined, report: Report): void {
  const sentAt = fate?.operation.attempts[0]?.sentWall;
  const answeredAt = fate?.answers[0]?.wall ?? Infinity;
  if (sentAt === undefined) return;
  if (recordedAt < sentAt - clockToleranceMs || recordedAt > answeredAt + clockToleranceMs) {
    report('clock', `posting ${id} is of ${recordedAt}, its request of ${sentAt}–${answeredAt}`);
  }
}

function apply(
  world: World,
  posting: PostingRow,
  command: Command | undefined,
  movements: readonly MovementRow[],
): void {
  for (const movement of movements) {
    const { onHand, reserved, sequence } = movement;
    const key = levelKey(movement);
    const before = world.standing(key).sequence;
    if (posting.type === 'expiry') noteLapse(world, key, before, movement);
    if (sequence > before) world.levels.set(key, { onHand, reserved, sequence });
  }
  if (posting.reverses !== null) world.reversed.set(posting.reverses, posting.id);
  if (posting.reservation === null) return;
  const held = world.reservations.get(posting.reservation) ?? made(world, posting, command);
  if (command?.type === 'reservation-extend') {
    setExpiry(held, posting.recordedAt + command.ttlSeconds * 1000);
  }
  for (const movement of movements) applyToHeld(held, posting, movement);
  if (posting.type === 'expiry') held.lapsed = true;
  const isEmpty = [...held.units.values()].every((units) => units === 0);
  if (isEmpty) held.emptiedAt ??= posting.recordedAt;
}

function applyToHeld(
  held: Held,
  { type }: PostingRow,
  { product, onHandChange, reservedChange }: MovementRow,
): void {
  const counts = held.counts.get(product) ?? { shipped: 0, released: 0, expired: 0 };
  held.counts.set(product, counts);
  held.units.set(product, unitsHeld(held, product) + reservedChange);
  if (type !== 'reservation') counts[countOf(type, onHandChange)] -= reservedChange;
  for (const [kind, units] of Object.entries({ ...counts, held: unitsHeld(held, product) })) {
    const name = `${kind} ${product}`;
    held.seen.set(name, (held.seen.get(name) ?? new Set()).add(units));
  }
}

function noteLapse(world: World, key: string, before: number, movement: MovementRow): void {
  const { sequence, recordedAt } = movement;
  const last = world.lapses.get(key);
  const goesOn = last?.after === before && last.recordedAt === recordedAt;
  world.lapses.set(key, { before: goesOn ? last.before : before, after: sequence, recordedAt });
}

function made(world: World, posting: PostingRow, command: Command | undefined): Held {
  const isReservation = command?.type === 'reservation';
  const held: Held = {
    id: posting.reservation ?? '',
    tenant: posting.tenant,
    warehouse: isReservation ? command.warehouse : '',
    units: new Map(),
    counts: new Map(),
    seen: new Map(),
    expiresAt: null,
    earliest: Infinity,
    latest: Infinity,
    lapsed: false,
    emptiedAt: undefined,
  };
  if (isReservation && command.ttlSeconds !== undefined) {
    held.latest = 0;
    setExpiry(held, posting.recordedAt + command.ttlSeconds * 1000);
  }
  world.reservations.set(held.id, held);
  return held;
}

function setExpiry(held: Held, expiresAt: number): void {
  held.expiresAt = expiresAt;
  held.earliest = Math.min(held.earliest, expiresAt);
  held.latest = Math.max(held.latest, expiresAt);
}

function checkReservations(world: World, snapshot: Snapshot, report: Report): void {
  for (const row of snapshot.reservations) {
    const held = world.reservations.get(row.id);
    if (held === undefined) report('effect', `reservation ${row.id} was made by nobody`);
    else if (held.expiresAt !== row.expiresAt) {
      report('clock', `reservation ${row.id} expires at ${row.expiresAt}, not ${held.expiresAt}`);
    } else checkReservation(row, held, report);
  }
}

function checkReservation({ id, closed, lines }: ReservationRow, held: Held, report: Report): void {
  if (closed !== isClosed(held)) report('effect', `reservation ${id} is closed: ${closed}`);
  for (const [product, { shipped, released, expired }] of held.counts) {
    const right = { held: unitsHeld(held, product), shipped, released, expired };
    const is = lines[product];
    if (isDeepStrictEqual(is, right)) continue;
    const [text, rightText] = [JSON.stringify(is), JSON.stringify(right)];
    report('effect', `reservation ${id} is ${text} of ${product}, not ${rightText}`);
  }
}
