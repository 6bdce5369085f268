/** Random histories, decided by the domain and by the naive model, must agree at every step. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ChainedMovement, verifyChain } from './chain.ts';
import type { Command } from './commands.ts';
import { apply, type Context, decide, expire } from './decide.ts';
import { exampleStock, products, warehouses } from './examples.ts';
import { command, history, type Intent, linesOf, opening, pickId } from './histories.ts';
import { LedgerModel } from './ledgerModel.ts';
import { expect } from './ledgerRules.ts';
import type { Posted } from './outcomes.ts';
import { reservationStatus, type Stock } from './stock.ts';

interface Played {
  stock: Stock;
  ledger: LedgerModel;
  posted: Posted[];
  now: number;
  codes: Map<string, number>;
}

const count = (codes: Map<string, number>, code: string): void => {
  codes.set(code, (codes.get(code) ?? 0) + 1);
};

/** Plays a history on both sides; they must agree on each outcome and on what it leaves. */
function play(intents: readonly Intent[], codes = new Map<string, number>()): Played {
  const played = { stock: exampleStock(), ledger: new LedgerModel(), posted: [], now: 1e6, codes };
  let ids = 0;
  const nextId = () => `id-${++ids}`;
  for (const step of [...opening, ...intents]) {
    if (step.kind === 'wait') played.now += step.ms;
    if (step.kind === 'backorder') {
      played.stock.products.set('Z', { allowBackorder: step.allowed });
    }
    if (step.kind !== 'command') continue;
    const context = { now: played.now, recordedAt: played.now, nextId };
    expireBoth(played, context);
    decideBoth(played, resolve(step.command, step.pick, played.ledger), context);
    assertSameQuantities(played);
  }
  return played;
}

function resolve(command: Command, pick: number, ledger: LedgerModel): Command {
  if ('reservation' in command) {
    const ids = ledger.reservations.map(({ id }) => id);
    return { ...command, reservation: pickId(ids, pick) };
  }
  if (command.type !== 'reversal') return command;
  return {
    ...command,
    posting: pickId(
      ledger.postings.map(({ id }) => id),
      pick,
    ),
  };
}

function expireBoth({ stock, ledger, posted, now }: Played, context: Context): void {
  const holds = ledger.overdue(now);
  stock.overdue = structuredClone(holds);
  for (const outcome of expire(stock, context)) {
    apply(stock, outcome);
    posted.push(outcome);
    const { id, reservation: expired } = outcome.posting;
    ledger.recordExpiry(id, expired, holds);
  }
}

function decideBoth(played: Played, command: Command, context: Context): void {
  const { stock, ledger, now, codes } = played;
  const backorder = new Map([...stock.products].map(([code, p]) => [code, p.allowBackorder]));
  const expected = expect(ledger, { warehouses, backorder }, command, now);
  const before = structuredClone(stock);
  const outcome = decide(stock, command, context);
  assert.deepEqual(stock, before, 'decide changed the stock');
  apply(stock, outcome);
  if (!outcome.posted) {
    count(codes, outcome.refusal.code);
    assert.deepEqual({ code: outcome.refusal.code }, expected);
    assert.deepEqual(stock, before, 'a refusal changed the stock');
    return;
  }
  count(codes, command.type);
  if ('code' in expected) assert.fail(`posted, but expected ${expected.code}`);
  ledger.record(command, expected, outcome.posting.id, outcome.posting.reservation);
  played.posted.push(outcome);
}

function assertSameQuantities({ stock, ledger, now }: Played): void {
  for (const { warehouse: place, product: code, onHand, reserved } of stock.levels.values()) {
    const { available, ...expected } = ledger.level(place, code);
    assert.deepEqual({ onHand: BigInt(onHand), reserved: BigInt(reserved) }, expected);
    assert.equal(BigInt(onHand - reserved), available);
  }
  assert.equal(stock.reservations.size, ledger.reservations.length);
  for (const held of stock.reservations.values()) {
    for (const line of held.lines) {
      const { held: units, ...expected } = ledger.line(held.id, line.product);
      const actual = { ...line, product: undefined };
      assert.deepEqual(
        Object.entries(actual).flatMap(([name, n]) => (n === undefined ? [] : [[name, BigInt(n)]])),
        Object.entries(expected),
      );
      if (units > 0n) assert.notEqual(reservationStatus(held, now), 'closed');
    }
  }
}

test('every outcome and every quantity agrees with the naive model', () => {
  const codes = new Map<string, number>();
  fc.assert(
    fc.property(history, (intents) => {
      play(intents, codes);
    }),
    { numRuns: 300 },
  );
  const all = [
    ...['receipt', 'shipment', 'transfer', 'adjustment', 'count', 'reservation', 'reversal'],
    ...['reservation-ship', 'reservation-release', 'reservation-extend', 'unknown-warehouse'],
    ...[
      'unknown-product',
      'not-found',
      'insufficient-stock',
      'stock-changed',
      'reservation-closed',
    ],
    ...['reservation-expired', 'already-reversed', 'quantity-overflow', 'validation-failed'],
  ];
  const missing = all.filter((code) => !codes.has(code));
  assert.deepEqual(missing, [], 'the histories never came to these outcomes');
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
