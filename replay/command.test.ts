import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { commandOf, splitUnits } from './command.ts';
import type { Order } from './orders.ts';

const run = { name: 'r1', warehouse: 'REPLAY-r1' };

function order(given: Partial<Order>): Order {
  const invoicedAt = '2010-12-01T08:26:00Z';
  return { line: 7, invoice: '536365', invoicedAt, units: 5, stockCodes: ['A', 'B'], ...given };
}

describe('commandOf', () => {
  test('ships an invoice, its units split over its lines', () => {
    const command = commandOf(order({}), run);
    assert.equal(command?.path, '/v1/shipments');
    assert.equal(command?.key, 'replay/r1/7/536365');
    assert.deepEqual(JSON.parse(command?.body ?? ''), {
      warehouse: 'REPLAY-r1',
      reference: '536365',
      occurredAt: '2010-12-01T08:26:00Z',
      lines: [
        { product: 'A', quantity: 3 },
        { product: 'B', quantity: 2 },
      ],
    });
  });

  test('receives a cancellation, whatever the sign of its units', () => {
    for (const units of [-5, 5]) {
      const command = commandOf(order({ invoice: 'C536379', units }), run);
      assert.equal(command?.path, '/v1/receipts');
      assert.deepEqual(
        command?.lines.map(({ change }) => change),
        [3, 2],
      );
    }
  });

  test('writes off an invoice of negative units', () => {
    const command = commandOf(order({ units: -3, stockCodes: ['A'] }), run);
    assert.equal(command?.path, '/v1/adjustments');
    const { reason, lines } = JSON.parse(command?.body ?? '');
    assert.deepEqual([reason, lines], ['write-off', [{ product: 'A', change: -3 }]]);
  });

  test('posts nothing for an invoice of no units', () => {
    assert.equal(commandOf(order({ units: 0 }), run), undefined);
  });

  test('leaves out the lines that no unit falls to', () => {
    const command = commandOf(order({ units: 1 }), run);
    assert.deepEqual(command?.lines, [{ product: 'A', change: -1 }]);
  });

  test('keeps the lines of a code that repeats', () => {
    const command = commandOf(order({ stockCodes: ['A', 'A'] }), run);
    assert.deepEqual(
      command?.lines.map(({ product, change }) => [product, change]),
      [
        ['A', -3],
        ['A', -2],
      ],
    );
  });

  test('gives an invoice that the file repeats a key of its own, with legal characters only', () => {
    const odd = commandOf(order({ invoice: '5"6,' }), run)?.key;
    assert.equal(odd, 'replay/r1/7/5:226:2C');
    assert.notEqual(commandOf(order({ line: 8 }), run)?.key, commandOf(order({}), run)?.key);
  });
});

test('splitUnits loses no unit and is even to within one', () => {
  const quantities = fc.tuple(fc.integer({ min: 1, max: 1e15 }), fc.integer({ min: 1, max: 50 }));
  fc.assert(
    fc.property(quantities, ([units, lines]) => {
      const split = splitUnits(units, lines);
      assert.equal(split.length, lines);
      assert.equal(
        split.reduce((sum, each) => sum + each, 0),
        units,
      );
      assert.ok(Math.max(...split) - Math.min(...split) <= 1);
    }),
  );
});
