import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdempotencyRecord } from './answer.ts';
import { Flight } from './flight.ts';

const flight = () =>
  new Flight({ scope: 's', key: 'k', fingerprint: 'a'.repeat(64), owner: 'o'.repeat(24) });
const record: IdempotencyRecord = {
  fingerprint: 'a'.repeat(64),
  answer: { status: 201, headers: {}, body: Buffer.from('one') },
};
const late = () => new Error('late');

test('a duplicate that stopped waiting is not kept until the execution ends', async () => {
  const running = flight();
  const patient = running.join(60_000, late);
  await Promise.all(
    Array.from({ length: 10 }, () => assert.rejects(running.join(0, late), /late/)),
  );
  assert.equal(running.waiting, 1);
  running.land(record);
  assert.equal(await patient, record);
  assert.equal(running.waiting, 0);
});

test('who joins an execution that has ended is answered at once', async () => {
  const [recorded, unrecorded] = [flight(), flight()];
  recorded.land(record);
  unrecorded.land(undefined);
  assert.equal(await recorded.join(60_000, late), record);
  assert.equal(await unrecorded.join(60_000, late), undefined);
});
