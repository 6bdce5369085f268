import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { genesisHash, movementHash } from './chain.ts';
import { exampleContext, exampleStock, levelAt, post } from './examples.ts';
import { type ChainedMovement, verifyChain } from './model/verifyChain.ts';
import type { Level } from './stock.ts';

/** The history of W1 A: a receipt per change up, an adjustment per change down. */
function history(changes: readonly number[]): { movements: ChainedMovement[]; level: Level } {
  const stock = exampleStock();
  const context = exampleContext();
  const movements = changes.flatMap((change, index) => {
    const lines = [{ product: 'A', change }];
    const command = { type: 'adjustment', warehouse: 'W1', reason: 'test', lines } as const;
    const recordedAt = context.recordedAt + index;
    const { posting } = post(stock, command, { ...context, recordedAt });
    const { id: postingId } = posting;
    const { tenant } = stock;
    return posting.movements.map((move) => ({ ...move, tenant, postingId, recordedAt }));
  });
  return { movements, level: levelAt(stock, 'W1 A') };
}

test('the hash covers the fields in the order that PostgreSQL joins them', () => {
  const movement = {
    warehouse: 'W1',
    product: 'SKU-1',
    sequence: 8,
    onHandChange: -5,
    reservedChange: -2,
    onHand: 15,
    reserved: 2,
    unitCost: '2.50',
  };
  const text = `${genesisHash}|demo|W1|SKU-1|8|posting|-5|-2|15|2|2.50|1700000000000`;
  const expected = createHash('sha256').update(text, 'utf8').digest('hex');
  assert.equal(movementHash(genesisHash, 'demo', 'posting', 1_700_000_000_000, movement), expected);

  const costless = `${genesisHash}|demo|W1|SKU-1|8|posting|-5|-2|15|2||1700000000000`;
  assert.equal(
    movementHash(genesisHash, 'demo', 'posting', 1_700_000_000_000, {
      ...movement,
      unitCost: null,
    }),
    createHash('sha256').update(costless, 'utf8').digest('hex'),
  );
});

test('a chain that nobody touched holds and ends at its level', () => {
  const { movements, level } = history([5, 3, -2, 1]);
  assert.deepEqual(
    movements.map((movement) => movement.sequence),
    [1, 2, 3, 4],
  );
  assert.equal(verifyChain(movements), undefined);
  assert.equal(verifyChain(movements, level), undefined);
});

test('a level that never moved has an empty chain', () => {
  const level = levelAt(exampleStock(), 'W1 A');
  assert.equal(verifyChain([], level), undefined);
  const drifted = { ...level, onHand: 1 };
  assert.deepEqual(verifyChain([], drifted), { index: 0, problem: 'quantities' });
});

const upThenDown = fc
  .array(fc.integer({ min: 1, max: 1000 }), { minLength: 2, maxLength: 12 })
  .map((ups) => [...ups, -(ups[0] ?? 0)]);

test('any changed field of any movement is found', () => {
  const fields = Object.keys(history([1]).movements[0] ?? {}) as (keyof ChainedMovement)[];
  assert.equal(fields.length, 12);
  fc.assert(
    fc.property(upThenDown, fc.nat(), fc.constantFrom(...fields), (changes, at, field) => {
      const { movements, level } = history(changes);
      const index = at % movements.length;
      const victim = movements[index] as ChainedMovement;
      const value = victim[field];
      const tampered = typeof value === 'number' ? value + 1 : `${value ?? ''}x`;
      movements[index] = { ...victim, [field]: tampered };
      assert.ok(verifyChain(movements, level));
    }),
  );
});

test('a dropped, repeated or swapped movement is found', () => {
  fc.assert(
    fc.property(upThenDown, fc.nat(), fc.nat(), (changes, at, other) => {
      const { movements, level } = history(changes);
      const [i, j] = [at % movements.length, other % movements.length];
      assert.ok(verifyChain(movements.toSpliced(i, 1), level));
      assert.ok(verifyChain(movements.toSpliced(i, 0, movements[j] as ChainedMovement), level));
      const swapped = movements.toSpliced(i, 1, movements[j] as ChainedMovement);
      swapped[j] = movements[i] as ChainedMovement;
      if (i !== j) assert.ok(verifyChain(swapped, level));
    }),
  );
});

test('a history rewritten from some movement on does not meet the level it claims', () => {
  const { level } = history([5, 3]);
  const { movements } = history([4, 4]);
  assert.equal(verifyChain(movements), undefined);
  assert.deepEqual(verifyChain(movements, level), { index: 2, problem: 'hash' });
});

test('each fault is named with its place', () => {
  const { movements, level } = history([5, 3, 2]);
  const change = (index: number, fields: Partial<ChainedMovement>) =>
    movements.map((movement, i) => (i === index ? { ...movement, ...fields } : movement));
  assert.deepEqual(verifyChain(change(1, { product: 'B' })), { index: 1, problem: 'level' });
  assert.deepEqual(verifyChain(change(1, { warehouse: 'W2' })), { index: 1, problem: 'level' });
  assert.deepEqual(verifyChain(change(1, { tenant: 'other' })), { index: 1, problem: 'level' });
  assert.deepEqual(verifyChain(change(2, { sequence: 4 })), { index: 2, problem: 'sequence' });
  assert.deepEqual(verifyChain(change(1, { onHand: 9 })), { index: 1, problem: 'quantities' });
  assert.deepEqual(verifyChain(change(1, { reserved: 1 })), { index: 1, problem: 'quantities' });
  assert.deepEqual(verifyChain(change(0, { recordedAt: 1 })), { index: 0, problem: 'hash' });
  const end = { index: 3, problem: 'quantities' };
  assert.deepEqual(verifyChain(movements, { ...level, onHand: 11 }), end);
  assert.deepEqual(verifyChain(movements, { ...level, reserved: 1 }), end);
  const elsewhere = { index: 3, problem: 'level' };
  assert.deepEqual(verifyChain(movements, { ...level, product: 'B' }), elsewhere);
  assert.deepEqual(verifyChain(movements, { ...level, warehouse: 'W2' }), elsewhere);
  const missing = verifyChain(movements.slice(0, 2), level);
  assert.deepEqual(missing, { index: 2, problem: 'sequence' });
});
