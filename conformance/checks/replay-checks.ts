import type { Received } from '../exchange.ts';
import { canReorder } from '../json-body.ts';
import { marked, sameAnswer, type Target } from '../target.ts';
import { answerOf, type Baseline, type Check, effectsOf, fail, pass, say, skip } from './check.ts';

async function twice(target: Target): Promise<[Received, Received]> {
  const key = target.newKey();
  const first = answerOf(await target.send({ key }));
  return [first, answerOf(await target.send({ key }))];
}

const answer: Check = {
  id: 'replay',
  title: 'a repeat gets the status and the bytes of the first answer, and has no effect',
  draft: 'the resource responds with the result of the first request (section 2.6)',
  practice: 'the stored status and body, byte by byte',
  run: (target, baseline) =>
    effectsOf(target, baseline, 1, async () => {
      const [first, second] = await twice(target);
      if (!sameAnswer(first, second)) return fail(`${say(first)}, then ${say(second)}`);
      if (!baseline.distinct && baseline.step === undefined && !marked(second)) {
        return skip('two executions answer alike here; use --observe to see effects');
      }
      return pass('the same answer');
    }),
};

const headers: Check = {
  id: 'replay-headers',
  title: 'a repeat has the Location, Content-Type and ETag of the first answer, and no cookie',
  draft: 'silent',
  practice: 'clients follow Location after a retry as after the first try; a cookie is a session',
  async run(target) {
    const [first, second] = await twice(target);
    for (const name of ['location', 'content-type', 'etag']) {
      if (first.headers[name] !== second.headers[name]) {
        return fail(`${name}: ${first.headers[name]}, then ${second.headers[name]}`);
      }
    }
    if (second.headers['set-cookie']) return fail('the repeat sets a cookie');
    return pass('the same headers');
  },
};

const marker: Check = {
  id: 'replay-marker',
  title: 'a repeat says so: Idempotent-Replayed: true',
  draft: 'an open question (issue 46)',
  practice: 'Stripe: Idempotent-Replayed: true, on repeats only',
  async run(target) {
    const [first, second] = await twice(target);
    if (marked(first)) return fail('the first answer is marked as a replay');
    return marked(second) ? pass('marked') : fail('the repeat is not marked');
  },
};

const otherBody: Check = {
  id: 'other-body',
  title: 'a key with another body is refused, and the first answer stays',
  draft: '422 when a key is reused with another payload (section 2.7)',
  practice: 'Stripe 400, most others 422; the stored answer is untouched',
  run: (target, baseline) =>
    effectsOf(target, baseline, 1, async () => {
      const key = target.newKey();
      const first = answerOf(await target.send({ key }));
      const other = answerOf(await target.send({ key, body: 'altered' }));
      if (other.status !== 422) return fail(`expected 422, got ${say(other)}`);
      const again = answerOf(await target.send({ key }));
      if (sameAnswer(first, again)) return pass('422, and the first answer stays');
      return fail(`the refusal replaced the first answer: ${say(again)}`);
    }),
};

const reordered: Check = {
  id: 'reordered-json',
  title: 'the same JSON in another order and spacing is the same request',
  draft: 'the fingerprint is up to the resource',
  practice: 'a retry may serialise anew; only the meaning counts',
  async run(target) {
    if (!canReorder(target.options.body)) return skip('the body has no members to reorder');
    const key = target.newKey();
    const first = answerOf(await target.send({ key }));
    const second = answerOf(await target.send({ key, body: 'reordered' }));
    if (sameAnswer(first, second)) return pass('the same answer');
    return fail(`${say(first)}, then ${say(second)}`);
  },
};

const binary: Check = {
  id: 'binary-body',
  title: 'binary bodies are told apart byte by byte',
  draft: 'silent',
  practice: 'rarely handled: as text, different bytes become the same replacement character',
  async run(target) {
    if (!target.options.binary) return skip('give --binary when the API takes any bytes');
    const key = target.newKey();
    await target.send({ key, bytes: Buffer.from([1, 0xff, 2]) });
    const other = answerOf(await target.send({ key, bytes: Buffer.from([1, 0xfe, 2]) }));
    return other.status === 422 ? pass('422') : fail(`expected 422, got ${say(other)}`);
  },
};

const otherPath: Check = {
  id: 'other-path',
  title: 'a key on another path does not fetch the first answer',
  draft: 'a key identifies one request',
  practice: '422, or keys scoped by route; never the answer of another route',
  async run(target, baseline) {
    const { otherUrl } = target.options;
    if (!otherUrl) return skip('give --other-url');
    const alone = answerOf(await target.send({ key: target.newKey(), url: otherUrl }));
    if ([404, 405].includes(alone.status)) return skip(`nothing is there: ${say(alone)}`);
    return notReplayed(target, baseline, { url: otherUrl });
  },
};

const otherCredential: Check = {
  id: 'other-credential',
  title: "a key of another caller does not fetch this caller's answer",
  draft: 'the key should be scoped by the client (section 5)',
  practice: 'per account',
  async run(target, baseline) {
    if (!target.options.secondCredential) return skip('give --second-credential');
    const alone = answerOf(await target.send({ key: target.newKey(), secondCredential: true }));
    if ([401, 403].includes(alone.status)) return skip(`no second caller: ${say(alone)}`);
    return notReplayed(target, baseline, { secondCredential: true });
  },
};

async function notReplayed(target: Target, baseline: Baseline, variation: object) {
  const key = target.newKey();
  const first = answerOf(await target.send({ key }));
  const other = answerOf(await target.send({ key, ...variation }));
  const replay = marked(other) || (baseline.distinct && sameAnswer(first, other));
  if (replay) return fail(`it got the first answer: ${say(other)}`);
  if (sameAnswer(first, other)) return skip('answers do not differ enough to tell');
  const again = answerOf(await target.send({ key }));
  if (!sameAnswer(first, again)) return fail(`the first answer was replaced: ${say(again)}`);
  return pass(`${other.status}, another answer`);
}

export const replayChecks: readonly Check[] = [
  answer,
  headers,
  marker,
  otherBody,
  reordered,
  binary,
  otherPath,
  otherCredential,
];
