import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions, UsageError } from './options.ts';

const names = (...args: string[]) => readOptions(args).scenarios.map(({ name }) => name);

test('without a name every scenario runs, in five rounds', () => {
  assert.equal(names().length, 16);
  assert.equal(readOptions([]).rounds, 5);
});

test('subjects are warm before they are measured, but in a quick run', () => {
  assert.equal(readOptions([]).warmUpSeconds, 20);
  assert.equal(readOptions(['--quick']).warmUpSeconds, 1);
  assert.equal(readOptions(['--quick', '--warm-up', '7']).warmUpSeconds, 7);
});

test('a quick run leaves out what takes long, unless it is named', () => {
  assert.ok(!names('--quick').includes('ledger'));
  assert.deepEqual(names('--quick', 'ledger', 'hot'), ['hot', 'ledger']);
});

test('Medusa is measured only when it is asked for', () => {
  const subjects = (...args: string[]) => readOptions(args).scenarios[0]?.subjects ?? [];
  assert.ok(!subjects().includes('medusa'));
  assert.ok(subjects('--medusa').includes('medusa'));
});

test('what cannot be used is refused by name', () => {
  const refused = (pattern: RegExp, ...args: string[]) =>
    assert.throws(
      () => readOptions(args),
      (error: Error) => error instanceof UsageError && pattern.test(error.message),
    );
  refused(/no scenario is called cold/, 'cold');
  refused(/--rounds must be/, '--rounds', '0');
  refused(/--seconds must be/, '--seconds', '1.5');
  refused(/--warm-up must be/, '--warm-up', '0');
  refused(/--fast/, '--fast');
});
