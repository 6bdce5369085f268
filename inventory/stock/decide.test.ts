import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from './commands.ts';
import { apply, decide } from './decide.ts';
import { exampleContext, exampleStock, levelAt, post, refusalOf } from './examples.ts';

const lines = [{ product: 'A', quantity: 1 }];
const receipt: Command = { type: 'receipt', warehouse: 'W1', lines };

test('a posting carries the details of its command, or null for each', () => {
  const details = {
    reference: 'PO-1',
    note: 'dock 4',
    occurredAt: '2026-11-23T10:00:00+01:00',
    metadata: { truck: '7' },
  };
  const { posting } = post(exampleStock(), { ...receipt, ...details }, exampleContext(5));
  const { movements, ...header } = posting;
  assert.equal(movements.length, 1);
  const rest = { id: 'id-1', type: 'receipt', reason: null, reservation: null, reverses: null };
  assert.deepEqual(header, { ...rest, ...details, recordedAt: 5 });
  const bare = post(exampleStock(), receipt, exampleContext()).posting;
  const { reference, note, occurredAt, metadata } = bare;
  assert.deepEqual([reference, note, occurredAt, metadata], [null, null, null, null]);
});

test('a posting is stamped with recordedAt, and so is every level it moved', () => {
  const stock = exampleStock();
  const context = { ...exampleContext(7), recordedAt: 9 };
  assert.equal(post(stock, receipt, context).posting.recordedAt, 9);
  assert.equal(levelAt(stock, 'W1 A').recordedAt, 9);
  assert.equal(levelAt(stock, 'W1 B').recordedAt, 0);
});

test('an unknown warehouse is named before unknown products, those all at once', () => {
  const unknown = ['X', 'A', 'Y', 'X'].map((product) => ({ product, quantity: 1 }));
  const nowhere = { ...receipt, warehouse: 'W9', lines: unknown } as Command;
  const refusal = { code: 'unknown-warehouse', warehouse: 'W9' };
  assert.deepEqual(refusalOf(exampleStock(), nowhere), refusal);
  const transfer = { type: 'transfer', from: 'W1', to: 'W9', lines: unknown } as const;
  assert.deepEqual(refusalOf(exampleStock(), transfer), refusal);
  const products = ['X', 'Y'];
  const somewhere = { ...nowhere, warehouse: 'W1' } as Command;
  assert.deepEqual(refusalOf(exampleStock(), somewhere), { code: 'unknown-product', products });
});

test('every command with a warehouse and products has both checked first', () => {
  const line = { product: 'X', quantity: 1, change: 1, counted: 1, expectedOnHand: 9 };
  const types = ['receipt', 'shipment', 'adjustment', 'count', 'reservation'] as const;
  for (const type of types) {
    const late = { type, warehouse: 'W9', lines: [line], reason: '', expiresAt: 0 };
    assert.equal(refusalOf(exampleStock(), late).code, 'unknown-warehouse', type);
    const here = { ...late, warehouse: 'W1' };
    assert.equal(refusalOf(exampleStock(), here).code, 'unknown-product', type);
  }
});

test('the state of what a command names is reported before too little stock', () => {
  const stock = exampleStock();
  const many = [{ product: 'A', quantity: 9 }];
  const born = { type: 'reservation', warehouse: 'W1', lines: many, expiresAt: 1 } as const;
  assert.equal(refusalOf(stock, born).code, 'validation-failed');
  const counts = [
    { product: 'Z', counted: 1, expectedOnHand: 5 },
    { product: 'A', counted: 0 },
  ];
  levelAt(stock, 'W1 A').onHand = 3;
  levelAt(stock, 'W1 A').reserved = 3;
  const count = { type: 'count', warehouse: 'W1', lines: counts } as const;
  assert.equal(refusalOf(stock, count).code, 'stock-changed');
});

test('the commands of one batch see each other', () => {
  const stock = exampleStock();
  const context = exampleContext();
  const ship = { ...receipt, type: 'shipment' } as Command;
  assert.equal(refusalOf(stock, ship).code, 'insufficient-stock');
  const first = post(stock, receipt, context).posting;
  const second = post(stock, ship, context).posting;
  assert.deepEqual([first.movements[0]?.sequence, second.movements[0]?.sequence], [1, 2]);
  assert.equal(levelAt(stock, 'W1 A').hash, second.movements[0]?.hash);
  assert.equal(refusalOf(stock, ship).code, 'insufficient-stock');
});

test('deciding twice without applying gives the same answer and changes nothing', () => {
  const stock = exampleStock({ 'W1 A': [3] });
  const before = structuredClone(stock);
  const once = decide(stock, receipt, exampleContext());
  assert.deepEqual(decide(stock, receipt, exampleContext()), once);
  assert.deepEqual(stock, before);
});

test('a refused command takes no id and changes nothing when applied', () => {
  const stock = exampleStock();
  const before = structuredClone(stock);
  const nextId = () => assert.fail('an id was taken');
  const command = { ...receipt, type: 'shipment' } as Command;
  apply(stock, decide(stock, command, { ...exampleContext(), nextId }));
  assert.deepEqual(stock, before);
});

test('a level or a product that the loader left out stops the command', () => {
  const stock = exampleStock();
  stock.levels.clear();
  assert.throws(() => decide(stock, receipt, exampleContext()), /level of A in W1 was not loaded/);
  const loaded = { id: 'P', type: 'receipt', reservation: null, reversedBy: null } as const;
  const moved = { warehouse: 'W1', product: 'A', onHandChange: 5, reservedChange: 0 };
  const partial = exampleStock();
  partial.products.clear();
  partial.postings.set('P', { ...loaded, movements: [moved] });
  const reversal = { type: 'reversal', posting: 'P', reason: 'x' } as const;
  assert.throws(() => decide(partial, reversal, exampleContext()), /product A was not loaded/);
});
