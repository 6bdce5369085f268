import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from '../workload/history.ts';
import { namesOf, shipment, sound } from './sound.ts';

test('expired units are available to a read and to a refusal from the instant of the expiry', () => {
  const { example, short, problem } = sound();
  example.read(1_200, 3, 6, 0);
  assert.deepEqual(namesOf(example), []);
  const lines = [{ ...short[0], available: 4 }];
  example.refuse(1_200, shipment(8), 409, { ...problem, lines });
  assert.deepEqual(namesOf(example), ['refusal']);
});

for (const [code, command, more] of [
  ['insufficient-stock', shipment(8), { lines: [] }],
  [
    'insufficient-stock',
    shipment(8),
    { lines: [{ warehouse: 'W1', product: 'P1', requested: 8, available: 5 }] },
  ],
  [
    'insufficient-stock',
    shipment(8),
    { lines: [{ warehouse: 'W1', product: 'P1', requested: 4, available: 4 }] },
  ],
  ['unknown-product', shipment(8), { products: ['P1'] }],
  ['stock-changed', shipment(8), {}],
  ['not-found', { type: 'reversal', posting: 'p2' }, {}],
  ['already-reversed', { type: 'reversal', posting: 'p2' }, { reversal: 'p9' }],
  ['reservation-expired', { type: 'reservation-ship', reservation: 'r8' }, {}],
  ['reservation-closed', { type: 'reservation-release', reservation: 'r8' }, {}],
  ['validation-failed', shipment(8), {}],
  ['quantity-overflow', shipment(8), {}],
] as const) {
  test(`a wrong ${code} is noticed: ${JSON.stringify(more)}`, () => {
    const { example, reservation, received } = sound();
    const named = JSON.parse(
      JSON.stringify(command)
        .replace('"r8"', `"${reservation}"`)
        .replace('"p2"', `"${received.posting.id}"`),
    ) as Command;
    example.refuse(60, named, 409, { code, ...more });
    assert.deepEqual(namesOf(example), ['refusal']);
  });
}

test('a count refused for a level that was as expected is noticed', () => {
  const { example } = sound();
  const lines = [{ product: 'P1', counted: 1, expectedOnHand: 6 }];
  const level = { warehouse: 'W1', product: 'P1', onHand: 6, sequence: 3 };
  example.refuse(60, { type: 'count', warehouse: 'W1', lines }, 409, {
    code: 'stock-changed',
    levels: [level],
  });
  assert.deepEqual(namesOf(example), ['refusal']);
});

const short = (requested: number, available: number, product = 'P1') => {
  return { lines: [{ warehouse: 'W1', product, requested, available }] };
};
const ship = (reservation: string, quantity: number, product = 'P1'): Command => {
  return { type: 'reservation-ship', reservation, lines: [{ product, quantity }] };
};

/**
 * The sound example, in which 1 of the 2 reserved units is shipped at 60 and the rest extended at
 * 70.
 */
function shippedInPart() {
  const example = sound();
  const { reservation } = example;
  const shipped = example.example.post(60, ship(reservation, 1), [['P1', -1, -1]]);
  const extend: Command = { type: 'reservation-extend', reservation, ttlSeconds: 5 };
  const extended = example.example.post(70, extend, []);
  return { ...example, shipped, extended };
}

for (const [what, code, of, more, isRight] of [
  ['more than a reservation holds', 'insufficient-stock', 'ship 3', short(3, 1), true],
  ['what a reservation holds', 'insufficient-stock', 'ship 1', short(1, 0), false],
  ['less than it ever held', 'insufficient-stock', 'ship 9', short(9, 5), false],
  ['another product', 'insufficient-stock', 'shipP2 4', short(4, 0, 'P2'), true],
  [
    'another product, of which it has some',
    'insufficient-stock',
    'shipP2 4',
    short(4, 3, 'P2'),
    false,
  ],
  [
    'a shipment that was reversed meanwhile',
    'insufficient-stock',
    'reversal of ship',
    short(1, 0),
    true,
  ],
  ['twice what was asked for', 'insufficient-stock', 'shipment 8', short(16, 5), false],
  ['an adjustment', 'insufficient-stock', 'adjustment -8', short(8, 3), false],
  ['an adjustment below zero', 'insufficient-stock', 'adjustment -8', short(8, 4), true],
  ['a reversal of what is shipped in part', 'insufficient-stock', 'reversal', short(2, 1), true],
  ['a reversal by a number never held', 'insufficient-stock', 'reversal', short(9, 7), false],
  ['a reversal of what is not closed', 'reservation-closed', 'reversal', {}, false],
  ['the reversal of an extension', 'validation-failed', 'reversal of extend', {}, true],
  ['the reversal of a reservation', 'validation-failed', 'reversal', {}, false],
  ['an extension to an earlier instant', 'validation-failed', 'extend 1', {}, true],
  ['an extension to a later instant', 'validation-failed', 'extend 9', {}, false],
  ['a change of no level', 'stock-changed', 'count', { levels: [] }, false],
] as const) {
  test(`${code} of ${what} is ${isRight ? 'right' : 'noticed'}`, () => {
    const { example, reservation, reserved, shipped, extended } = shippedInPart();
    const [type = '', number = '', reversed] = of.split(' ');
    const originals: Record<string, string> = {
      reserve: reserved.posting.id,
      ship: shipped.posting.id,
      extend: extended.posting.id,
    };
    const commands: Record<string, Command> = {
      ship: ship(reservation, Number(number)),
      shipP2: ship(reservation, Number(number), 'P2'),
      shipment: shipment(Number(number)),
      adjustment: {
        type: 'adjustment',
        warehouse: 'W1',
        lines: [{ product: 'P1', change: Number(number) }],
      },
      reversal: { type: 'reversal', posting: originals[reversed ?? 'reserve'] as string },
      extend: { type: 'reservation-extend', reservation, ttlSeconds: Number(number) },
      count: {
        type: 'count',
        warehouse: 'W1',
        lines: [{ product: 'P1', counted: 1, expectedOnHand: 9 }],
      },
    };
    example.refuse(90, commands[type] as Command, 409, { code, ...more });
    assert.deepEqual(namesOf(example), isRight ? [] : ['refusal']);
  });
}

test('a product that may be sold below zero is not short', () => {
  const { example } = sound();
  example.history.catalogue = { ...example.history.catalogue, backorderProducts: ['P2'] };
  const of: Command = {
    type: 'shipment',
    warehouse: 'W1',
    lines: [{ product: 'P2', quantity: 1 }],
  };
  const lines = [{ warehouse: 'W1', product: 'P2', requested: 1, available: 0 }];
  example.refuse(60, of, 409, {
    code: 'insufficient-stock',
    lines,
  });
  assert.deepEqual(namesOf(example), ['refusal']);
});

test('a reservation of which all was shipped is closed to a reversal', () => {
  const { example, reservation, reserved } = sound();
  example.post(60, ship(reservation, 2), [['P1', -2, -2]]);
  const undo: Command = { type: 'reversal', posting: reserved.posting.id };
  example.refuse(80, undo, 409, { code: 'reservation-closed' });
  assert.deepEqual(namesOf(example), []);
});
