import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sumLines } from './lines.ts';
import { quantityMax } from './quantity.ts';

const changeOf = (line: { change: number }): number => line.change;

test('lines of one product add up, in order of first appearance', () => {
  const lines = [
    { product: 'B', change: 2 },
    { product: 'A', change: 3 },
    { product: 'B', change: 5 },
  ];
  assert.deepEqual(sumLines(lines, changeOf), [
    { product: 'B', amount: 7, unitCost: null },
    { product: 'A', amount: 3, unitCost: null },
  ]);
});

test('lines of one product stay apart by unit cost', () => {
  const lines = [
    { product: 'A', change: 1, unitCost: '2.50' },
    { product: 'A', change: 2 },
    { product: 'A', change: 4, unitCost: '2.5' },
    { product: 'A', change: 8, unitCost: '2.50' },
  ];
  assert.deepEqual(sumLines(lines, changeOf), [
    { product: 'A', amount: 9, unitCost: '2.50' },
    { product: 'A', amount: 2, unitCost: null },
    { product: 'A', amount: 4, unitCost: '2.5' },
  ]);
});

test('a sum beyond the range is absent, wherever in the lines it passes it', () => {
  const beyond = [
    { product: 'A', change: quantityMax },
    { product: 'A', change: 1 },
  ];
  assert.deepEqual(sumLines(beyond, changeOf), [
    { product: 'A', amount: Number.NaN, unitCost: null },
  ]);
  const back = [...beyond, { product: 'A', change: -1 }, { product: 'B', change: 6 }];
  assert.deepEqual(sumLines(back, changeOf), [
    { product: 'A', amount: quantityMax, unitCost: null },
    { product: 'B', amount: 6, unitCost: null },
  ]);
});

test('no lines have no totals', () => {
  assert.deepEqual(sumLines([], changeOf), []);
});
