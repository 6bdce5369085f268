import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from './uuidv7.ts';

const FORM = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const now = Date.UTC(2026, 10, 24);
const timeOf = (id: string) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);

test('an id has the form of version 7 and begins with its time', () => {
  for (const ms of [now, now + 1, now + 86_400_000]) {
    const id = uuidv7(ms);
    assert.match(id, FORM);
    assert.equal(timeOf(id), ms);
  }
});

test('ids rise and never repeat, also many of one millisecond and when the clock goes back', () => {
  const ms = now + 172_800_000;
  const ids = Array.from({ length: 20_000 }, (_, n) => uuidv7(n < 15_000 ? ms : ms - 5_000));
  for (const id of ids) assert.match(id, FORM);
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
  const late = timeOf(ids.at(-1) as string) - ms;
  assert.ok(late <= 20_000 / 2_048 + 1, `${late} ms ahead`);
  assert.equal(new Set(ids.map((id) => id.slice(19))).size, ids.length, 'random parts differ');
});
