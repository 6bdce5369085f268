/** Random histories, decided by the domain and by the naive model, must agree at every step. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Command } from '../commands.ts';
import { apply, decide } from '../decide.ts';
import { exampleStock, products, warehouses } from '../examples.ts';
import type { Refusal } from '../outcomes.ts';
import type { Stock } from '../stock.ts';
import { command, history, linesOf } from './histories.ts';
import { type Played, play, resolve } from './playHistory.ts';
import { type ChainedMovement, verifyChain } from './verifyChain.ts';

/** Everything that can become of a command. */
const fates: (Command['type'] | Refusal['code'])[] = [
  ...(['receipt', 'shipment', 'transfer', 'adjustment', 'count', 'reversal'] as const),
  ...(['reservation', 'reservation-ship', 'reservation-release', 'reservation-extend'] as const),
  ...(['unknown-warehouse', 'unknown-product', 'not-found', 'insufficient-stock'] as const),
  ...(['stock-changed', 'reservation-closed', 'reservation-expired'] as const),
  ...(['already-reversed', 'quantity-overflow', 'validation-failed'] as const),
];

test('every outcome and every quantity agrees with the naive model', () => {
  const met = new Set<string>();
  fc.assert(
    fc.property(history, (intents) => {
      for (const fate of play(intents).fates) met.add(fate);
    }),
    { numRuns: 300 },
  );
  const missing = fates.filter((fate) => !met.has(fate));
  assert.deepEqual(missing, [], 'the histories never came to these');
});

/** The movements of each level in the order they were posted. */
function chains({ stock, posted }: Played): Map<string, ChainedMovement[]> {
  const { tenant } = stock;
  const movements = posted.flatMap(({ posting }) =>
    posting.movements.map((movement) => {
      return { ...movement, tenant, postingId: posting.id, recordedAt: posting.recordedAt };
    }),
  );
  return Map.groupBy(movements, ({ warehouse: at, product: of }) => `${at}|${of}`);
}

test('after any history each level is the sum of its gap-free, chained movements', () => {
  fc.assert(
    fc.property(history, (intents) => {
      const played = play(intents);
      const byLevel = chains(played);
      for (const [key, level] of played.stock.levels) {
        const movements = byLevel.get(key) ?? [];
        assert.equal(verifyChain(movements, level), undefined);
        assert.equal(level.recordedAt, movements.at(-1)?.recordedAt ?? 0);
        const sum = (changes: number[]): bigint => changes.reduce((n, c) => n + BigInt(c), 0n);
        assert.equal(BigInt(level.onHand), sum(movements.map((m) => m.onHandChange)));
        assert.equal(BigInt(level.reserved), sum(movements.map((m) => m.reservedChange)));
      }
    }),
  );
});

test('a product without backorder never has less on hand than reserved, nor less than nothing', () => {
  fc.assert(
    fc.property(history, (intents) => {
      for (const { posting } of play(intents).posted) {
        for (const { product: code, onHand, reserved } of posting.movements) {
          assert.ok(reserved >= 0);
          if (code !== 'Z') assert.ok(onHand >= reserved);
          assert.ok(Number.isSafeInteger(onHand - reserved));
        }
      }
    }),
  );
});

const wholeWarehouse = (stock: Stock): bigint =>
  [...stock.levels.values()].reduce((sum, level) => sum + BigInt(level.onHand), 0n);

test('transfers create nothing and lose nothing', () => {
  const place = fc.constantFrom(...warehouses);
  const of = fc.constantFrom(...products);
  const line = fc.record({ product: of, quantity: fc.integer({ min: 1, max: 9 }) });
  const moves = fc.array(fc.record({ from: place, to: place, lines: linesOf(line) }));
  fc.assert(
    fc.property(moves, (transfers) => {
      const stock = exampleStock({ 'W1 A': [20], 'W1 B': [5, 2], 'W2 A': [3], 'W2 C': [9] });
      let ids = 0;
      const context = { now: 1, recordedAt: 1, nextId: () => `id-${++ids}` };
      for (const transfer of transfers) {
        const outcome = decide(stock, { type: 'transfer', ...transfer }, context);
        apply(stock, outcome);
        assert.equal(wholeWarehouse(stock), 37n);
      }
    }),
  );
});

test('a posting that is reversed leaves every quantity as it was', () => {
  fc.assert(
    fc.property(history, command, (intents, last) => {
      const { stock, ledger, now } = play(intents);
      let ids = 0;
      const context = { now, recordedAt: now, nextId: () => `undo-${++ids}` };
      const quantities = () => [...stock.levels.values()].map((l) => [l.onHand, l.reserved]);
      const before = quantities();
      const outcome = decide(stock, resolve(last, 0, ledger), context);
      fc.pre(outcome.posted && outcome.posting.type !== 'reservation-extend');
      apply(stock, outcome);
      const posting = outcome.posted ? outcome.posting.id : '';
      const undone = decide(stock, { type: 'reversal', posting, reason: 'undo' }, context);
      // Refused where a level stood below zero already: backorder has ended since.
      fc.pre(undone.posted);
      apply(stock, undone);
      assert.deepEqual(quantities(), before);
    }),
  );
});

test('commands on disjoint levels have the same effects in either order', () => {
  const line = fc.record({ quantity: fc.integer({ min: 1, max: 9 }), up: fc.boolean() });
  const commandOn = (code: string) =>
    line.map(({ quantity: n, up }): Command => {
      const own = [{ product: code, quantity: n }];
      return { type: up ? 'receipt' : 'shipment', warehouse: 'W1', lines: own };
    });
  const sequence = fc.array(fc.tuple(commandOn('A'), commandOn('B')), { maxLength: 8 });
  const run = (commands: readonly Command[]) => {
    const stock = exampleStock({ 'W1 A': [9], 'W1 B': [9] });
    const outcomes = commands.map((each) => {
      const command = JSON.stringify(each);
      // An id that depends on the command alone, so that hashes can be compared.
      const outcome = decide(stock, each, { now: 1, recordedAt: 1, nextId: () => command });
      apply(stock, outcome);
      return `${command} ${JSON.stringify(outcome)}`;
    });
    return { levels: [...stock.levels], outcomes: outcomes.toSorted() };
  };
  fc.assert(
    fc.property(sequence, (pairs) => {
      const as = pairs.map(([a]) => a);
      const bs = pairs.map(([, b]) => b);
      const interleaved = run(pairs.flat());
      assert.deepEqual(run([...as, ...bs]), interleaved);
      assert.deepEqual(run([...bs, ...as]), interleaved);
    }),
  );
});
