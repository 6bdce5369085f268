import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdempotencyRecord } from './answer.ts';
import { RecentAnswers } from './recent-answers.ts';

const ttlMs = 60_000;
const record: IdempotencyRecord = {
  fingerprint: 'a'.repeat(64),
  answer: { status: 201, headers: {}, body: Buffer.from('one') },
};

test('first answers are remembered where that is asked for, repeats always', () => {
  for (const first of [false, true]) {
    const recent = new RecentAnswers({ bytesMax: 1_000_000, ttlMs, first });
    recent.given('given', record);
    recent.replayed('replayed', record);
    assert.deepEqual(recent.get('given'), first ? record : undefined);
    assert.deepEqual(recent.get('replayed'), record);
  }
});

test('0 bytes remember nothing, and a bound of infinity sets no more aside than there is', () => {
  for (const [bytesMax, expected] of [
    [-1, undefined],
    [0, undefined],
    [1, undefined],
    [Number.POSITIVE_INFINITY, record],
  ] as const) {
    const recent = new RecentAnswers({ bytesMax, ttlMs, first: true });
    recent.given('given', record);
    recent.replayed('replayed', record);
    assert.deepEqual(recent.get('given'), expected);
    assert.deepEqual(recent.get('replayed'), expected);
  }
});
