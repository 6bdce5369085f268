import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, QuantityLine } from './commands.ts';
import { apply, expire } from './decide.ts';
import {
  exampleContext,
  exampleStock,
  post,
  quantitiesAt,
  refusalOf,
  summaryOf,
} from './examples.ts';
import type { Posting } from './outcomes.ts';
import { type Reservation, reservationStatus, type Stock } from './stock.ts';

const now = 1_000_000;
const of = (product: string, quantity: number): QuantityLine => ({ product, quantity });
const reverse = (posting: string): Command => ({ type: 'reversal', posting, reason: 'mistake' });
const shipment: Command = { type: 'shipment', warehouse: 'W1', lines: [of('A', 4)] };

/** 10 of A and 5 of B; reservation id-1 holds 6 of A and 2 of B for 60 s, by posting id-2. */
function reserved() {
  const stock = exampleStock({ 'W1 A': [10], 'W1 B': [5] });
  const context = exampleContext(now);
  const lines = [of('A', 6), of('B', 2)];
  post(stock, { type: 'reservation', warehouse: 'W1', lines, ttlSeconds: 60 }, context);
  const held = (type: 'reservation-ship' | 'reservation-release', lines: QuantityLine[]): Posting =>
    post(stock, { type, reservation: 'id-1', lines }, context).posting;
  const undo = (posting: string): Posting => post(stock, reverse(posting), context).posting;
  return { stock, context, held, undo };
}

/** `[shipped, released]` of each line of id-1 */
function linesOf(stock: Stock): [number, number][] {
  const reservation = stock.reservations.get('id-1') as Reservation;
  return reservation.lines.map(({ shipped, released }) => [shipped, released]);
}

test('a reversal is a posting with the opposite movements, the reason and what it reverses', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const context = exampleContext();
  const { id } = post(stock, shipment, context).posting;
  const { posting, reservation } = post(stock, reverse(id), context);
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A 4/0 → 10/0']);
  assert.deepEqual([posting.type, posting.reason, posting.reverses], ['reversal', 'mistake', id]);
  assert.equal(posting.reservation, null);
  assert.equal(reservation, undefined);
});

test('a posting loaded from the store is reversed like one of this batch', () => {
  const stock = exampleStock({ 'W1 A': [10], 'W2 A': [3] });
  const moved = (warehouse: string, onHandChange: number) => {
    return { warehouse, product: 'A', onHandChange, reservedChange: 0 };
  };
  const movements = [moved('W1', -2), moved('W2', 2)];
  const loaded = {
    id: 'P',
    type: 'transfer',
    reservation: null,
    reversedBy: null,
    movements,
  } as const;
  stock.postings.set('P', loaded);
  const { posting } = post(stock, reverse('P'), exampleContext());
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A 2/0 → 12/0', 'W2 A -2/0 → 1/0']);
});

test('a posting is reversed once; its reversal may be reversed, once', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const context = exampleContext();
  const original = post(stock, shipment, context).posting.id;
  const reversal = post(stock, reverse(original), context).posting.id;
  const again = { code: 'already-reversed', posting: original, reversal };
  assert.deepEqual(refusalOf(stock, reverse(original)), again);
  const redone = post(stock, reverse(reversal), context).posting;
  assert.deepEqual(redone.movements.map(summaryOf), ['W1 A -4/0 → 6/0']);
  assert.deepEqual(refusalOf(stock, reverse(original)), again);
  assert.equal(refusalOf(stock, reverse(reversal)).code, 'already-reversed');
});

test('an unknown posting is not found', () => {
  const notFound = { code: 'not-found', resource: 'posting', id: 'none' };
  assert.deepEqual(refusalOf(exampleStock(), reverse('none')), notFound);
});

test('a reversal is refused where the stock is gone, by the sum per level', () => {
  const stock = exampleStock();
  const context = exampleContext();
  const lines = [
    { ...of('A', 3), unitCost: '1' },
    { ...of('A', 4), unitCost: '2' },
  ];
  const { id } = post(stock, { type: 'receipt', warehouse: 'W1', lines }, context).posting;
  post(stock, { ...shipment, lines: [of('A', 2)] } as Command, context);
  assert.deepEqual(refusalOf(stock, reverse(id)), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 7, available: 5 }],
  });
  post(stock, { type: 'receipt', warehouse: 'W1', lines: [of('A', 2)] }, context);
  const { movements } = post(stock, reverse(id), context).posting;
  assert.deepEqual(movements.map(summaryOf), ['W1 A -3/0 → 4/0', 'W1 A -4/0 → 0/0']);
});

test('a reversal is refused where the level would overflow', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const context = exampleContext();
  const { id } = post(stock, shipment, context).posting;
  const full = of('A', Number.MAX_SAFE_INTEGER - 6);
  post(stock, { type: 'receipt', warehouse: 'W1', lines: [full] }, context);
  const overflow = { code: 'quantity-overflow', warehouse: 'W1', product: 'A' };
  assert.deepEqual(refusalOf(stock, reverse(id)), overflow);
});

test('the reversal of a movement of zero is a movement of zero', () => {
  const stock = exampleStock();
  const context = exampleContext();
  const lines = [{ product: 'A', counted: 0 }];
  const { id } = post(stock, { type: 'count', warehouse: 'W1', lines }, context).posting;
  const [movement] = post(stock, reverse(id), context).posting.movements;
  assert.ok(Object.is(movement?.onHandChange, 0));
  assert.ok(Object.is(movement?.reservedChange, 0));
});

test('a reversed reservation is released and closed; reversed again, it holds again', () => {
  const { stock, undo } = reserved();
  const reversal = undo('id-2');
  assert.deepEqual(reversal.movements.map(summaryOf), ['W1 A 0/-6 → 10/0', 'W1 B 0/-2 → 5/0']);
  assert.equal(reversal.reservation, 'id-1');
  assert.deepEqual(linesOf(stock), [
    [0, 6],
    [0, 2],
  ]);
  assert.equal(reservationStatus(stock.reservations.get('id-1') as Reservation, now), 'closed');
  undo(reversal.id);
  assert.deepEqual(linesOf(stock), [
    [0, 0],
    [0, 0],
  ]);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [10, 6]);
});

function short(product: string, requested: number, available: number) {
  const lines = [{ warehouse: 'W1', product, requested, available }];
  return { code: 'insufficient-stock', lines };
}

test('a reversed shipment of a reservation is held again', () => {
  const { stock, held, undo } = reserved();
  const { id } = held('reservation-ship', [of('A', 6), of('B', 2)]);
  const reversal = undo(id);
  assert.deepEqual(reversal.movements.map(summaryOf), ['W1 A 6/6 → 10/6', 'W1 B 2/2 → 5/2']);
  assert.deepEqual(linesOf(stock), [
    [0, 0],
    [0, 0],
  ]);
  undo(reversal.id);
  assert.deepEqual(linesOf(stock), [
    [6, 0],
    [2, 0],
  ]);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [4, 0]);
});

test('a reversed release is held again, if the units are still available', () => {
  const { stock, context, held, undo } = reserved();
  const { id } = held('reservation-release', [of('A', 5)]);
  post(stock, { ...shipment, lines: [of('A', 5)] } as Command, context);
  assert.deepEqual(refusalOf(stock, reverse(id)), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 5, available: 4 }],
  });
  assert.deepEqual(linesOf(stock)[0], [0, 5]);
  post(stock, { type: 'receipt', warehouse: 'W1', lines: [of('A', 1)] }, context);
  undo(id);
  assert.deepEqual(linesOf(stock)[0], [0, 0]);
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [6, 6]);
});

test('a reservation that was partly shipped or released cannot be reversed as a whole', () => {
  for (const type of ['reservation-ship', 'reservation-release'] as const) {
    const { stock, held, undo } = reserved();
    const part = held(type, [of('B', 1)]);
    assert.deepEqual(refusalOf(stock, reverse('id-2')), short('B', 2, 1));
    undo(part.id);
    assert.equal(undo('id-2').type, 'reversal');
  }
});

test('a reservation of which nothing is held any more cannot be reversed: it is closed', () => {
  const { stock, held } = reserved();
  held('reservation-ship', [of('A', 6), of('B', 2)]);
  const closed = { code: 'reservation-closed', reservation: 'id-1' };
  assert.deepEqual(refusalOf(stock, reverse('id-2')), closed);
});

test('a reversal of what was since settled otherwise is refused with what is left', () => {
  const { stock, held, undo } = reserved();
  const unreleased = undo(held('reservation-release', [of('A', 6)]).id);
  held('reservation-ship', [of('A', 1)]);
  assert.deepEqual(refusalOf(stock, reverse(unreleased.id)), short('A', 6, 5));
  const unshipped = reserved();
  const shipped = unshipped.held('reservation-ship', [of('A', 6)]);
  const back = unshipped.undo(shipped.id);
  unshipped.held('reservation-release', [of('A', 1)]);
  assert.deepEqual(refusalOf(unshipped.stock, reverse(back.id)), short('A', 6, 5));
});

test('a reversal of more than the lines record is refused', () => {
  for (const onHandChange of [-1, 0]) {
    const { stock } = reserved();
    const movements = [{ warehouse: 'W1', product: 'A', onHandChange, reservedChange: -1 }];
    const type = onHandChange < 0 ? 'reservation-ship' : 'reservation-release';
    stock.postings.set('P', { id: 'P', type, reservation: 'id-1', reversedBy: null, movements });
    assert.deepEqual(refusalOf(stock, reverse('P')), short('A', 1, 0));
  }
});

test('nothing is taken from a reservation by a reversal from the instant it expires', () => {
  const { stock, held, undo } = reserved();
  const expired = { code: 'reservation-expired', reservation: 'id-1' };
  const back = undo(held('reservation-ship', [of('A', 1)]).id);
  const late = exampleContext(now + 60_000);
  assert.deepEqual(refusalOf(stock, reverse(back.id), late), expired);
  assert.deepEqual(refusalOf(stock, reverse('id-2'), late), expired);
});

test('what a reversal brings back to a reservation that has expired is given back at once', () => {
  for (const type of ['reservation-ship', 'reservation-release'] as const) {
    const { stock, held } = reserved();
    const { id } = held(type, [of('A', 6), of('B', 2)]);
    const late = exampleContext(now + 60_000);
    post(stock, reverse(id), late);
    const given = expire(stock, late);
    for (const outcome of given) apply(stock, outcome);
    const movements = given.flatMap(({ posting }) => posting.movements.map(summaryOf));
    assert.deepEqual(movements, ['W1 A 0/-6 → 10/0', 'W1 B 0/-2 → 5/0'], type);
    const reservation = stock.reservations.get('id-1') as Reservation;
    assert.equal(reservationStatus(reservation, now + 60_000), 'expired');
    assert.deepEqual(expire(stock, late), []);
    const expired = { code: 'reservation-expired', reservation: 'id-1' };
    for (const { posting } of given) {
      assert.deepEqual(refusalOf(stock, reverse(posting.id), late), expired);
    }
  }
});

test('an expiry cannot be reversed', () => {
  const { stock, context } = reserved();
  stock.overdue = [{ reservation: 'id-1', warehouse: 'W1', product: 'A', quantity: 6 }];
  const [outcome] = expire(stock, context);
  assert.ok(outcome);
  apply(stock, outcome);
  const expired = { code: 'reservation-expired', reservation: 'id-1' };
  assert.deepEqual(refusalOf(stock, reverse(outcome.posting.id)), expired);
});

test('an extension cannot be reversed', () => {
  const { stock, context } = reserved();
  const extend = { type: 'reservation-extend', reservation: 'id-1', ttlSeconds: 90 } as const;
  const { id } = post(stock, extend, context).posting;
  const detail = 'An extension moved no stock and cannot be reversed';
  assert.deepEqual(refusalOf(stock, reverse(id)), {
    code: 'validation-failed',
    errors: [{ path: '$.posting', detail }],
  });
});

test('a reservation that the loader left out stops the reversal', () => {
  const { stock, context } = reserved();
  stock.reservations.clear();
  assert.throws(() => post(stock, reverse('id-2'), context), /id-1 was not loaded/);
});
