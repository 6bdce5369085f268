import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, expire } from './decide.ts';
import {
  exampleContext,
  exampleStock,
  levelAt,
  post,
  quantitiesAt,
  refusalOf,
  summaryOf,
} from './examples.ts';
import { type OverdueHold, type Reservation, reservationStatus, type Stock } from './stock.ts';

const now = 1_000_000;

function overdue(reservation: string, product: string, quantity: number): OverdueHold {
  return { reservation, warehouse: 'W1', product, quantity };
}

/** Reservations R (5 of A, 1 shipped; 2 of B) and S (3 of A), both overdue at `now`. */
function overdueStock(): Stock {
  const stock = exampleStock({ 'W1 A': [10, 7], 'W1 B': [2, 2] });
  stock.overdue = [overdue('R', 'A', 4), overdue('S', 'A', 3), overdue('R', 'B', 2)];
  return stock;
}

const reservation: Reservation = {
  id: 'R',
  warehouse: 'W1',
  reference: null,
  expiresAt: now,
  postingId: 'P',
  lines: [
    { product: 'A', quantity: 5, shipped: 1, released: 0, expired: 0 },
    { product: 'B', quantity: 2, shipped: 0, released: 0, expired: 0 },
  ],
};

test('each overdue reservation gives back its holds in one posting, one after the other', () => {
  const stock = overdueStock();
  const postings = expire(stock, exampleContext(now));
  assert.deepEqual(
    postings.map(({ posting }) => [
      posting.type,
      posting.reservation,
      posting.movements.map(summaryOf),
    ]),
    [
      ['expiry', 'R', ['W1 A 0/-4 → 10/3', 'W1 B 0/-2 → 2/0']],
      ['expiry', 'S', ['W1 A 0/-3 → 10/0']],
    ],
  );
  const [first, second] = postings.map(({ posting }) => posting.movements[0]);
  assert.deepEqual([first?.sequence, second?.sequence], [1, 2]);
  assert.notEqual(first?.hash, second?.hash);
});

test('levels change as the expiry is applied, and no hold is given back twice', () => {
  const stock = overdueStock();
  const postings = expire(stock, exampleContext(now));
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [10, 7]);
  for (const outcome of postings) apply(stock, outcome);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [10, 0]);
  assert.equal(levelAt(stock, 'W1 A').hash, postings[1]?.posting.movements[0]?.hash);
  assert.deepEqual(expire(stock, exampleContext(now)), []);
});

test('the units are there for the next command, without a sweeper', () => {
  const stock = overdueStock();
  const context = exampleContext(now);
  for (const outcome of expire(stock, context)) apply(stock, outcome);
  const lines = [{ product: 'A', quantity: 10 }];
  post(stock, { type: 'shipment', warehouse: 'W1', lines }, context);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [0, 0]);
});

test('a loaded reservation learns what it lost, and stays expired', () => {
  const stock = overdueStock();
  stock.reservations.set('R', reservation);
  const before = structuredClone(reservation);
  const [first, second] = expire(stock, exampleContext(now));
  assert.equal(second?.reservation, undefined);
  assert.deepEqual(
    first?.reservation?.lines.map(({ shipped, expired }) => [shipped, expired]),
    [
      [1, 4],
      [0, 2],
    ],
  );
  assert.deepEqual(reservation, before);
  for (const outcome of [first, second]) if (outcome) apply(stock, outcome);
  const after = stock.reservations.get('R') as Reservation;
  assert.equal(reservationStatus(after, now), 'expired');
  const ship = { type: 'reservation-ship', reservation: 'R' } as const;
  assert.equal(refusalOf(stock, ship, exampleContext(now)).code, 'reservation-expired');
});

test('only the holds on levels of this batch are given back, the others stay held', () => {
  const stock = overdueStock();
  stock.reservations.set('R', reservation);
  stock.overdue = [overdue('R', 'B', 2)];
  const [first] = expire(stock, exampleContext(now));
  assert.deepEqual(
    first?.reservation?.lines.map(({ expired }) => expired),
    [0, 2],
  );
});

test('a reservation is expired from the instant of its expiry, and closed if nothing was lost', () => {
  assert.equal(reservationStatus(reservation, now - 1), 'active');
  assert.equal(reservationStatus(reservation, now), 'expired');
  const shipped = reservation.lines.map((line) => ({ ...line, shipped: line.quantity }));
  assert.equal(reservationStatus({ ...reservation, lines: shipped }, now), 'closed');
  const lost = reservation.lines.map((line) => ({
    ...line,
    expired: 1,
    shipped: line.quantity - 1,
  }));
  assert.equal(reservationStatus({ ...reservation, lines: lost }, now - 1), 'expired');
});

test('holds beyond what the level has reserved are a corrupt load, not a posting', () => {
  const stock = overdueStock();
  stock.overdue.push(overdue('T', 'A', 1));
  assert.throws(() => expire(stock, exampleContext(now)), /A in W1 has fewer units reserved/);
});
