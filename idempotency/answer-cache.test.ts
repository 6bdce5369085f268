import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdempotencyRecord } from './answer.ts';
import { AnswerCache } from './answer-cache.ts';
import { GivenAnswers } from './given-answers.ts';

const record: IdempotencyRecord = {
  fingerprint: 'a'.repeat(64),
  answer: { status: 201, headers: {}, body: Buffer.from('one') },
};

for (const Cache of [AnswerCache, GivenAnswers]) {
  test(`${Cache.name}: an answer ends after its time to live, also when the clock is set back`, (t) => {
    const cache = new Cache(1_000_000);
    t.mock.timers.enable({ apis: ['Date'], now: 3_600_000 });
    cache.set('k', record, 5);
    cache.set('long', record, 60_000);
    const until = performance.now() + 5;
    t.mock.timers.setTime(0);
    while (performance.now() <= until);
    assert.equal(cache.get('k'), undefined);
    assert.deepEqual(cache.get('long'), record);
  });

  test(`${Cache.name}: an answer ends with its record, also when the machine slept`, (t) => {
    const cache = new Cache(1_000_000);
    t.mock.timers.enable({ apis: ['Date'], now: 1_000 });
    const short = { ...record, expiresAt: 2_000 };
    cache.set('k', short, 60_000);
    assert.deepEqual(cache.get('k'), short);
    t.mock.timers.setTime(2_000);
    assert.equal(cache.get('k'), undefined);
  });

  test(`${Cache.name}: a clock behind that of the database keeps no answer beyond its time to live`, (t) => {
    const cache = new Cache(1_000_000);
    t.mock.timers.enable({ apis: ['Date'], now: 0 });
    cache.set('k', { ...record, expiresAt: 3_600_000 }, 5);
    const until = performance.now() + 5;
    while (performance.now() <= until);
    assert.equal(cache.get('k'), undefined);
  });
}
