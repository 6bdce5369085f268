import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Connection, Reply } from './connection.ts';
import { planReplay } from './plan.ts';
import { replay } from './replay.ts';
import { Tally } from './tally.ts';
import { ordersCsv, writeOrders } from './testOrders.ts';

const accepted: Reply = { status: 201, headers: {}, body: Buffer.from('{"movements":[]}') };

/** A replay of a few invoices, and what it sends to a service that answers with `answer`. */
async function start(t: TestContext, rate: number, answer: Promise<Reply>) {
  const file = writeOrders(t, ordersCsv(5));
  const plan = await planReplay(file, undefined, 1);
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  let requests = 0;
  const call = () => {
    requests += 1;
    first.resolve();
    return answer;
  };
  const connection = { call } as unknown as Connection;
  const options = { file, plan, rate, duplicates: 0, concurrency: 1, signal: stop.signal };
  const ended = replay(connection, new Tally(), options);
  return { stop, first: first.promise, ended, requests: () => requests };
}

// Without the stop, the second invoice would be due after 50 s.
const timeout = 20_000;

test('a stop ends the wait for the next invoice, which is not sent', { timeout }, async (t) => {
  const run = await start(t, 0.02, Promise.resolve(accepted));
  await run.first;
  // The loop is in its wait by then.
  await new Promise(setImmediate);
  run.stop.abort();
  await run.ended;
  assert.equal(run.requests(), 1);
});

test('a stop leaves an invoice that waits for its turn unsent', async (t) => {
  const answer = Promise.withResolvers<Reply>();
  const run = await start(t, 0, answer.promise);
  await run.first;
  await new Promise(setImmediate);
  run.stop.abort();
  answer.resolve(accepted);
  await run.ended;
  assert.equal(run.requests(), 1);
});
