import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { IdempotencyRecord } from '../answer.ts';
import { ClaimsUnavailable } from '../errors.ts';
import { createIdempotency, type RunResult } from '../layer.ts';
import {
  claimOf,
  claimStoreSuite,
  leaseMs,
  newKey,
  newOwner,
} from '../testing/claim-store-suite.ts';
import { memoryClaims } from './memory.ts';

const answerBytes = 1_000;
const record: IdempotencyRecord = {
  fingerprint: 'f'.repeat(64),
  answer: { status: 201, headers: {}, body: Buffer.alloc(answerBytes) },
};

describe('memory as the only memory', () => {
  const memory = memoryClaims();
  memory.keepUntilExpiry?.();
  claimStoreSuite('suite', () => [memory, memory]);
});

/** Claims and completes a new key. */
async function fill(memory: ReturnType<typeof memoryClaims>, ttlMs: number) {
  const claim = claimOf(newKey());
  assert.deepEqual(await memory.claim(claim, leaseMs), { state: 'claimed' });
  assert.equal(await memory.complete(claim, record, ttlMs), true);
  return claim;
}

test('the only memory of answers refuses new claims rather than forget one', async () => {
  const memory = memoryClaims({ answerBytesMax: 20 * answerBytes });
  memory.keepUntilExpiry?.();
  const warned = once(process, 'warning');
  const claims = [];
  const full = /full until the first of them expire: raise `answerBytesMax`/;
  const running = claimOf(newKey());
  await memory.claim(running, leaseMs);
  for (;;) {
    const filled = await fill(memory, 60_000).catch((error: Error) => error);
    if (filled instanceof Error) {
      assert.match(filled.message, full);
      break;
    }
    claims.push(filled);
  }
  assert.ok(claims.length > 5 && claims.length <= 20, `${claims.length}`);
  assert.equal((await warned)[0].code, 'IDEMPOTENCY_MEMORY_FULL');
  for (const claim of claims) {
    const again = await memory.claim({ ...claim, owner: newOwner() }, leaseMs);
    assert.deepEqual(again, { state: 'completed', record }, 'a repeat is answered all the same');
  }
  assert.equal(await memory.complete(running, record, 60_000), true, 'what runs is still kept');
  assert.equal((await memory.peek(running.scope, running.key))?.state, 'completed');
});

test('the only memory takes new claims again once answers expired', async () => {
  const memory = memoryClaims({ answerBytesMax: 2 * answerBytes });
  memory.keepUntilExpiry?.();
  const ttlMs = 20;
  for (;;)
    if (
      await fill(memory, ttlMs).then(
        () => false,
        () => true,
      )
    )
      break;
  while (
    await fill(memory, ttlMs).then(
      () => false,
      () => true,
    )
  )
    await new Promise(setImmediate);
});

test('a layer without records answers 503 instead of running what it could not remember', async () => {
  const layers = [undefined, { find: async () => undefined }].map((records) =>
    createIdempotency({ claims: memoryClaims({ answerBytesMax: 0 }), ...(records && { records }) }),
  );
  let runs = 0;
  const run = async (): Promise<RunResult> => {
    runs++;
    return { record, replayed: false };
  };
  const request = { scope: 's', key: 'k', fingerprint: record.fingerprint };
  const [alone, beside] = layers as [(typeof layers)[0], (typeof layers)[0]];
  await assert.rejects(alone.execute(request, run), ClaimsUnavailable);
  assert.equal(runs, 0);
  assert.equal((await beside.execute(request, run)).replayed, false);
});
