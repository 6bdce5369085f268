import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdempotencyRecord } from './answer.ts';
import { GivenAnswers } from './given-answers.ts';

const minute = 60_000;

function recordOf(body: string, headers: Record<string, string> = {}): IdempotencyRecord {
  const answer = { status: 201, headers, body: Buffer.from(body) };
  return { fingerprint: 'a'.repeat(64), answer };
}

test('what is found is what was set last, whatever was overwritten', () => {
  const given = new GivenAnswers(64 * 1024);
  const last = new Map<string, IdempotencyRecord>();
  let found = 0;
  for (let i = 0; i < 20_000; i++) {
    // Of many lengths, so that entries end everywhere in the ring.
    const id = `id-${(i * 7_919) % 997}`;
    const record = recordOf(`${i}`.repeat(i % 97), { location: `/things/${i}` });
    given.set(id, record, minute);
    last.set(id, record);
    assert.deepEqual(given.get(id), record, 'the latest is there');
    const other = `id-${i % 997}`;
    const known = given.get(other);
    if (known) assert.deepEqual(known, last.get(other));
    if (known) found += 1;
  }
  assert.ok(found > 1_000 && found < 20_000, `${found} found`);
});

test('of the answers that fit, nearly all are found', () => {
  const given = new GivenAnswers(1024 * 1024);
  const ids = Array.from({ length: 2_000 }, (_, i) => `12:order-${i}-x tenant`);
  for (const id of ids) given.set(id, recordOf('x'.repeat(200)), minute);
  const found = ids.filter((id) => given.get(id) !== undefined).length;
  assert.ok(found >= 0.98 * ids.length, `${found} of ${ids.length}`);
});

test('ids that share a hash, or look alike in UTF-8, are told apart', () => {
  const [one, two] = collision();
  for (const [first, second] of [
    [one, two],
    ['k\ud800', 'k\ufffd'],
  ] as const) {
    const given = new GivenAnswers(64 * 1024);
    given.set(first, recordOf('first'), minute);
    assert.equal(given.get(second), undefined);
    given.set(second, recordOf('second'), minute);
    assert.deepEqual(given.get(first), recordOf('first'));
    assert.deepEqual(given.get(second), recordOf('second'));
  }
});

test('an answer that is longer than all of the memory is not kept, and overwrites nothing', () => {
  const given = new GivenAnswers(4_096);
  given.set('small', recordOf('small'), minute);
  given.set('large', recordOf('x'.repeat(4_096)), minute);
  assert.equal(given.get('large'), undefined);
  assert.deepEqual(given.get('small'), recordOf('small'));
});

test('an answer that was given again in another form changes nothing that was found before', () => {
  const given = new GivenAnswers(4_096);
  given.set('k', recordOf('first'), minute);
  const found = given.get('k');
  for (let i = 0; i < 100; i++) given.set(`other-${i}`, recordOf('other'), minute);
  assert.deepEqual(found, recordOf('first'));
});

/** Two ids of the same 32-bit FNV-1a hash. Source: Fowler, Noll and Vo. */
function collision(): [string, string] {
  const seen = new Map<number, string>();
  for (let i = 0; ; i++) {
    const id = `id-${i}`;
    let hash = 0x811c9dc5;
    for (const char of id) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
    const other = seen.get(hash);
    if (other !== undefined) return [other, id];
    seen.set(hash, id);
  }
}
