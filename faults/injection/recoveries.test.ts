import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Healed, Recoveries } from './recoveries.ts';

test('a recovery ends with the slowest instance, on a command sent after the fault', () => {
  const recoveries = new Recoveries();
  const fault: Healed = { healedAt: 100 };
  recoveries.wait(fault, [0, 1]);
  recoveries.noteAnswer(0, 110, 120);
  recoveries.noteAnswer(0, 120, 130);
  recoveries.noteAnswer(1, 90, 140);
  recoveries.noteAnswer(2, 110, 150);
  assert.equal(fault.recoveryMs, undefined);
  recoveries.noteAnswer(1, 150, 160);
  recoveries.noteAnswer(1, 170, 180);
  assert.equal(fault.recoveryMs, 60);
});

test('what has not ended when nothing is asked any more is not measured', () => {
  const recoveries = new Recoveries();
  const fault: Healed = { healedAt: 100 };
  recoveries.wait(fault, [0]);
  recoveries.stop();
  recoveries.noteAnswer(0, 9_000, 9_010);
  assert.equal(fault.recoveryMs, undefined);
});
