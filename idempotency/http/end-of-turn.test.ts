import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOfTurn } from './end-of-turn.ts';

test('those who wait in one turn go on together, behind what is ready to be read in it', async () => {
  const order: string[] = [];
  const wait = (name: string) => endOfTurn().then(() => order.push(name));
  const first = wait('first');
  const ready = Promise.resolve().then(() => order.push('ready'));
  const later = new Promise<void>((resolve) => {
    // Queued behind the first wait: an end of the turn for each would let it in between.
    setImmediate(() => {
      order.push('next callback');
      resolve();
    });
  });
  const second = wait('second');
  await Promise.all([first, second, ready, later]);
  assert.deepEqual(order, ['ready', 'first', 'second', 'next callback']);
});
