import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allFaultKinds } from './injection/catalogue.ts';
import { readOptions, UsageError, usage } from './options.ts';

test('without options every kind of fault is injected for two minutes under some seed', () => {
  const { minutes, kinds, seeds, mutants } = readOptions([]);
  assert.deepEqual([minutes, kinds, mutants], [2, allFaultKinds, false]);
  assert.equal(seeds.length, 1);
  assert.ok(Number.isInteger(seeds[0]));
});

test('kinds, seeds, services and mutants are taken as they are named', () => {
  const args = ['--minutes', '0.5', '--seeds', '1,2', '--services', '3'];
  const { minutes, seeds, services } = readOptions(args);
  assert.deepEqual([minutes, seeds, services], [0.5, [1, 2], 3]);
  assert.deepEqual(readOptions(['--faults', 'kill-service,fail-over']).kinds, [
    'kill-service',
    'fail-over',
  ]);
  assert.deepEqual(readOptions(['--mutants', 'lost-fencing']).only, ['lost-fencing']);
});

test('--help is the usage', () => {
  assert.throws(() => readOptions(['--help']), { message: usage });
});

for (const args of [
  ['--minutes', 'x'],
  ['--minutes', '0'],
  ['--seed', '-1'],
  ['--services', '5'],
  ['--faults', 'sabotage'],
  ['--nonsense'],
  ['lost-fencing'],
  ['--mutants', 'lost-fence'],
]) {
  test(`${args.join(' ')} is refused`, () => {
    assert.throws(() => readOptions(args), UsageError);
  });
}
