import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, Expiry, QuantityLine } from './commands.ts';
import {
  exampleContext,
  exampleStock,
  levelAt,
  post,
  postReservation,
  quantitiesAt,
  refusalOf,
  summaryOf,
} from './examples.ts';
import { quantityMax } from './quantity.ts';
import { reservationStatus, type Stock } from './stock.ts';

const now = 1_000_000;
const of = (product: string, quantity: number): QuantityLine => ({ product, quantity });

function reserve(lines: QuantityLine[], expiry: Expiry = {}): Command {
  return { type: 'reservation', warehouse: 'W1', lines, ...expiry };
}

function ship(...lines: QuantityLine[]): Command {
  const command = { type: 'reservation-ship', reservation: 'id-1' } as const;
  return lines.length > 0 ? { ...command, lines } : command;
}

function release(...lines: QuantityLine[]): Command {
  const command = { type: 'reservation-release', reservation: 'id-1' } as const;
  return lines.length > 0 ? { ...command, lines } : command;
}

const extend = (expiry: Expiry): Command => {
  return { type: 'reservation-extend', reservation: 'id-1', ...expiry };
};

/** 10 of A and 5 of B on hand; reservation id-1 holds 6 of A and 2 of B until now + 60 s. */
function reservedStock(): Stock {
  const stock = exampleStock({ 'W1 A': [10], 'W1 B': [5] });
  post(stock, reserve([of('A', 6), of('B', 2)], { ttlSeconds: 60 }), exampleContext(now));
  return stock;
}

/** Ids that reservedStock has not used. */
function laterContext(at = now) {
  let ids = 100;
  return { ...exampleContext(at), nextId: () => `id-${++ids}` };
}

test('a reservation holds what is available, duplicate products added up', () => {
  const stock = exampleStock({ 'W1 A': [10], 'W1 B': [5] });
  const command = { ...reserve([of('A', 4), of('B', 2), of('A', 2)]), reference: 'order 7' };
  const { posting, reservation } = post(stock, command, exampleContext(now));
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A 0/6 → 10/6', 'W1 B 0/2 → 5/2']);
  assert.equal(posting.reservation, 'id-1');
  assert.deepEqual(reservation, {
    id: 'id-1',
    warehouse: 'W1',
    reference: 'order 7',
    expiresAt: null,
    postingId: posting.id,
    lines: [
      { product: 'A', quantity: 6, shipped: 0, released: 0, expired: 0 },
      { product: 'B', quantity: 2, shipped: 0, released: 0, expired: 0 },
    ],
  });
  assert.equal(stock.reservations.get('id-1'), reservation);
  assert.equal(reservationStatus(reservation, Number.MAX_SAFE_INTEGER), 'active');
});

test('a reservation is refused beyond what is available, unless backorder is allowed', () => {
  const stock = reservedStock();
  assert.deepEqual(refusalOf(stock, reserve([of('A', 2), of('A', 3), of('B', 4)])), {
    code: 'insufficient-stock',
    lines: [
      { warehouse: 'W1', product: 'A', requested: 5, available: 4 },
      { warehouse: 'W1', product: 'B', requested: 4, available: 3 },
    ],
  });
  post(stock, reserve([of('Z', 3)]), laterContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 Z'), [0, 3]);
});

test('reserved units and available units below zero stop at the largest quantity', () => {
  const stock = exampleStock({ 'W1 Z': [quantityMax, quantityMax], 'W2 Z': [-1, quantityMax - 1] });
  const overflow = { code: 'quantity-overflow', warehouse: 'W1', product: 'Z' };
  assert.deepEqual(refusalOf(stock, reserve([of('Z', 1)])), overflow);
  assert.deepEqual(refusalOf(stock, { ...reserve([of('Z', 1)]), warehouse: 'W2' } as Command), {
    ...overflow,
    warehouse: 'W2',
  });
  const sum = reserve([of('Z', quantityMax), of('Z', quantityMax)]);
  assert.deepEqual(refusalOf(exampleStock(), sum), overflow);
});

test('a reservation expires when it says or when its time to live ends', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const expiresAt = (expiry: Expiry) =>
    postReservation(stock, reserve([of('A', 1)], expiry), exampleContext(now)).expiresAt;
  assert.equal(expiresAt({ expiresAt: now + 1 }), now + 1);
  assert.equal(expiresAt({ ttlSeconds: 60 }), now + 60_000);
  assert.equal(expiresAt({ expiresAt: now + 5, ttlSeconds: 60 }), now + 5);
});

test('a reservation cannot be born expired, nor outlive the calendar', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  const refusal = (expiry: Expiry) =>
    refusalOf(stock, reserve([of('A', 1)], expiry), exampleContext(now));
  const detail = 'The expiry must be after 1970-01-01T00:16:40.000Z and before the year 10000';
  const errors = [{ path: '$.expiresAt', detail }];
  assert.deepEqual(refusal({ expiresAt: now }), { code: 'validation-failed', errors });
  assert.deepEqual(refusal({ ttlSeconds: 1e15 }), {
    code: 'validation-failed',
    errors: [{ path: '$.ttlSeconds', detail }],
  });
});

test('shipping all takes the units off the shelf and closes the reservation', () => {
  const stock = reservedStock();
  const { posting, reservation } = post(stock, ship(), laterContext());
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A -6/-6 → 4/0', 'W1 B -2/-2 → 3/0']);
  assert.equal(posting.reservation, 'id-1');
  assert.deepEqual(
    reservation?.lines.map(({ shipped, released }) => [shipped, released]),
    [
      [6, 0],
      [2, 0],
    ],
  );
  assert.equal(reservation && reservationStatus(reservation, now), 'closed');
});

test('releasing all gives the units back and closes the reservation', () => {
  const stock = reservedStock();
  const { posting, reservation } = post(stock, release(), laterContext());
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A 0/-6 → 10/0', 'W1 B 0/-2 → 5/0']);
  assert.deepEqual(
    reservation?.lines.map(({ shipped, released }) => [shipped, released]),
    [
      [0, 6],
      [0, 2],
    ],
  );
  assert.equal(reservation && reservationStatus(reservation, now), 'closed');
});

test('part by part, then the rest: shipped and released add up to what was reserved', () => {
  const stock = reservedStock();
  const context = laterContext();
  post(stock, ship(of('A', 1), of('A', 2)), context);
  post(stock, release(of('A', 1), of('B', 2)), context);
  const { posting, reservation } = post(stock, ship(), context);
  assert.deepEqual(posting.movements.map(summaryOf), ['W1 A -2/-2 → 5/0']);
  assert.deepEqual(reservation?.lines, [
    { product: 'A', quantity: 6, shipped: 5, released: 1, expired: 0 },
    { product: 'B', quantity: 2, shipped: 0, released: 2, expired: 0 },
  ]);
});

test('an earlier state of a reservation is not changed by a later one', () => {
  const stock = reservedStock();
  const before = structuredClone(stock.reservations.get('id-1'));
  const kept = stock.reservations.get('id-1');
  post(stock, ship(of('A', 1)), laterContext());
  assert.deepEqual(kept, before);
});

for (const command of [ship, release]) {
  test(`${command.name} takes no more of a product than is held`, () => {
    const stock = reservedStock();
    assert.deepEqual(refusalOf(stock, command(of('A', 4), of('B', 2), of('C', 1), of('A', 3))), {
      code: 'insufficient-stock',
      lines: [
        { warehouse: 'W1', product: 'A', requested: 7, available: 6 },
        { warehouse: 'W1', product: 'C', requested: 1, available: 0 },
      ],
    });
  });

  test(`${command.name} of lines whose sum is beyond a quantity overflows`, () => {
    const refusal = refusalOf(reservedStock(), command(of('A', quantityMax), of('A', 1)));
    assert.deepEqual(refusal, { code: 'quantity-overflow', warehouse: 'W1', product: 'A' });
  });

  test(`${command.name} names an unknown reservation before an unknown product`, () => {
    const notFound = { code: 'not-found', resource: 'reservation', id: 'id-1' };
    for (const lines of [[], [of('A', 1)], [of('X', 1)]]) {
      assert.deepEqual(refusalOf(exampleStock(), command(...lines)), notFound);
    }
    assert.deepEqual(refusalOf(reservedStock(), command(of('X', 1))), {
      code: 'unknown-product',
      products: ['X'],
    });
  });

  test(`${command.name} is refused from the instant of expiry`, () => {
    const stock = reservedStock();
    assert.equal(
      refusalOf(stock, command(), exampleContext(now + 60_000)).code,
      'reservation-expired',
    );
    assert.equal(command().type, post(stock, command(), laterContext(now + 59_999)).posting.type);
  });

  test(`${command.name} of a closed reservation is refused, also after its expiry`, () => {
    const stock = reservedStock();
    post(stock, release(), laterContext());
    const closed = { code: 'reservation-closed', reservation: 'id-1' };
    assert.deepEqual(refusalOf(stock, command()), closed);
    assert.deepEqual(refusalOf(stock, command(), exampleContext(now + 60_000)), closed);
  });
}

test('a backordered reservation ships only what is on hand once backorder has ended', () => {
  const stock = reservedStock();
  levelAt(stock, 'W1 A').onHand = 4;
  assert.deepEqual(refusalOf(stock, ship()), {
    code: 'insufficient-stock',
    lines: [{ warehouse: 'W1', product: 'A', requested: 6, available: 4 }],
  });
  post(stock, ship(of('A', 4)), laterContext());
  assert.deepEqual(quantitiesAt(stock, 'W1 A'), [0, 2]);
});

test('extending moves the expiry without moving stock', () => {
  const stock = reservedStock();
  const { posting, reservation } = post(stock, extend({ ttlSeconds: 61 }), laterContext());
  assert.deepEqual([posting.type, posting.reservation], ['reservation-extend', 'id-1']);
  assert.deepEqual(posting.movements, []);
  assert.equal(reservation?.expiresAt, now + 61_000);
  assert.equal(post(stock, ship(), laterContext(now + 60_500)).posting.type, 'reservation-ship');
});

test('an extension must be later than the expiry there is', () => {
  const refusal = (expiry: Expiry) =>
    refusalOf(reservedStock(), extend(expiry), exampleContext(now));
  const detail = 'The expiry must be after 1970-01-01T00:17:40.000Z and before the year 10000';
  const refused = (path: string) => ({ code: 'validation-failed', errors: [{ path, detail }] });
  assert.deepEqual(refusal({ expiresAt: now + 60_000 }), refused('$.expiresAt'));
  assert.deepEqual(refusal({ ttlSeconds: 60 }), refused('$.ttlSeconds'));
  assert.deepEqual(refusal({}), refused('$.expiresAt'));
});

test('a reservation that never expires cannot be extended', () => {
  const stock = exampleStock({ 'W1 A': [10] });
  post(stock, reserve([of('A', 1)]), exampleContext(now));
  assert.deepEqual(refusalOf(stock, extend({ expiresAt: now + 60_000 })), {
    code: 'validation-failed',
    errors: [{ path: '$.expiresAt', detail: 'The reservation never expires' }],
  });
});

test('what is unknown, closed or expired cannot be extended', () => {
  const stock = reservedStock();
  const late = exampleContext(now + 60_000);
  const later = extend({ ttlSeconds: 1000 });
  assert.deepEqual(refusalOf(exampleStock(), later), {
    code: 'not-found',
    resource: 'reservation',
    id: 'id-1',
  });
  assert.equal(refusalOf(stock, later, late).code, 'reservation-expired');
  post(stock, ship(), laterContext());
  assert.equal(refusalOf(stock, later, late).code, 'reservation-closed');
});
