import { setTimeout } from 'node:timers/promises';
import type { Received } from '../exchange.ts';
import { all, sameAnswer } from '../target.ts';
import {
  answerOf,
  type Check,
  effectsOf,
  type Finding,
  fail,
  ok,
  pass,
  say,
  skip,
} from './check.ts';

/** Duplicates must have the first answer, or 409 while it is being made. */
function judgeDuplicates(answers: readonly Received[], again: Received): Finding {
  const decided = answers.filter((answer) => answer.status !== 409);
  const broken = decided.find((answer) => answer.status >= 500);
  if (broken) return fail(`a duplicate got ${say(broken)}`);
  const other = decided.find((answer) => !sameAnswer(answer, again));
  if (other) return fail(`different answers: ${say(again)} and ${say(other)}`);
  const refused = answers.filter((answer) => answer.status === 409);
  if (decided.length === 0) return fail('all were refused with 409');
  const silent = refused.some((answer) => !answer.headers['retry-after']);
  const wait = silent ? 'told to wait, but not for how long' : 'told to wait';
  return pass(`${decided.length} with the one answer, ${refused.length} ${wait}`);
}

const concurrent: Check = {
  id: 'concurrent-duplicates',
  title: '50 concurrent duplicates have one effect and one answer',
  draft: '409 while the first is being processed (section 2.7)',
  practice: 'one executes; the others wait for its answer or get 409',
  run: (target, baseline) =>
    effectsOf(target, baseline, 1, async () => {
      const key = target.newKey();
      const exchanges = await target.burst(Array.from({ length: 50 }, () => ({ key })));
      const again = answerOf(await target.settle({ key }));
      return judgeDuplicates(exchanges.map(answerOf), again);
    }),
};

const staggered: Check = {
  id: 'duplicates-of-a-slow-request',
  title: 'duplicates sent while the first is still running get its answer',
  draft: '409 while the first is being processed',
  practice: 'the answer of the first, also when it took longer than the client waited',
  run: (target, baseline) =>
    effectsOf(target, baseline, 1, async () => {
      const key = target.newKey();
      const sent = Array.from({ length: 8 }, async (_, i) => {
        await setTimeout(i * 15);
        return target.send({ key }, false);
      });
      const answers = (await all(sent)).map(answerOf);
      const again = answerOf(await target.settle({ key }));
      return judgeDuplicates(answers, again);
    }),
};

const mismatchInFlight: Check = {
  id: 'mismatch-in-flight',
  title: 'a reused key is refused as reused while the first request is still running',
  draft: '422 for reuse; 409 is for the same request',
  practice: '409 tells the client to retry what can never succeed',
  async run(target) {
    for (let round = 0; round < 5; round++) {
      const key = target.newKey();
      const [first, ...others] = await target.burst([
        { key },
        { key, body: 'altered' },
        { key, body: 'altered' },
      ]);
      const answers = [first, ...others].map((exchange) => answerOf(exchange as never));
      // Whichever came first won; the losers carry the other body.
      const wonByFirst = ok(answers[0] as Received);
      const losers = wonByFirst ? answers.slice(1) : answers.slice(0, 1);
      const wrong = losers.find((answer) => answer.status !== 422);
      if (wrong) return fail(`expected 422, got ${say(wrong)}`);
    }
    return pass('422 each time');
  },
};

const hangUp: Check = {
  id: 'client-hang-up',
  title: 'a client that hung up gets the answer when it sends again',
  draft: 'this is what the key is for (section 1)',
  practice: 'the request runs on; its answer waits for the retry',
  run: (target, baseline) =>
    effectsOf(target, baseline, 2, async () => {
      for (const hangUp of ['after-request', 'mid-body'] as const) {
        const key = target.newKey();
        await target.send({ key, hangUp });
        const first = answerOf(await target.settle({ key }));
        if (!ok(first)) return fail(`after hanging up ${hangUp}: ${say(first)}`);
        const second = answerOf(await target.send({ key }));
        if (!sameAnswer(first, second)) return fail(`${say(first)}, then ${say(second)}`);
      }
      return pass('answered after both');
    }),
};

const failure: Check = {
  id: 'after-a-failure',
  title: 'a retry after a failed answer has at most one effect and an answer that stays',
  draft: 'whether errors are recorded is open (issue 41); a resource publishes it',
  practice: 'Stripe records errors once it began to execute; others free the key after a 5xx',
  async run(target, baseline) {
    if (target.options.failingBody === undefined) return skip('give --failing-body');
    const before = await target.observe();
    const key = target.newKey();
    const variation = { key, body: 'failing' } as const;
    const first = await target.send(variation);
    const retries = [await target.settle(variation), await target.settle(variation)] as const;
    const after = await target.observe();
    const times = ((after ?? 0) - (before ?? 0)) / (baseline.step ?? 1);
    if (times > 1) return fail(`the effect happened ${times} times: the retry ran it again`);
    const [second, third] = [answerOf(retries[0]), answerOf(retries[1])];
    if (second.status === 409 && third.status === 409 && first.received?.status !== 409) {
      return fail(`the key stays locked after the failure: ${say(third)}`);
    }
    if (second.status < 500 && !sameAnswer(second, third)) {
      return fail(`${say(second)}, then ${say(third)}`);
    }
    const began = first.received?.status ?? 'no answer';
    const meant = first.received && ok(first.received) ? ', though it was to fail' : '';
    return pass(`${began}${meant}, then ${second.status}`);
  },
};

export const raceChecks: readonly Check[] = [
  concurrent,
  staggered,
  mismatchInFlight,
  hangUp,
  failure,
];
