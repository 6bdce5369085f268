import { sameAnswer } from '../target.ts';
import { answerOf, type Check, fail, ok, pass, say, skip } from './check.ts';

const missing: Check = {
  id: 'missing-key',
  title: 'a request without a key is refused',
  draft: '400 when the resource requires the key (section 2.7)',
  practice: 'Shopify and Square require it; Stripe runs the request unprotected',
  async run(target) {
    const answer = answerOf(await target.send({}));
    if (answer.status === 400) return pass('400');
    if (ok(answer) && target.options.keyOptional) return skip('the key is optional here');
    const hint = ok(answer) ? '; give --key-optional where that is meant' : '';
    return fail(`expected 400, got ${say(answer)}${hint}`);
  },
};

const malformed: Check = {
  id: 'malformed-key',
  title: 'an empty, unterminated or non-ASCII key is refused',
  draft: 'the value is a structured-field string; one that fails to parse is an error (RFC 9651)',
  practice: 'an empty key is refused everywhere',
  async run(target) {
    for (const key of ['', '""', `"${target.newKey()}`, `${target.newKey()}\u00e9`]) {
      const answer = answerOf(await target.send({ key }));
      if (answer.status !== 400) return fail(`${JSON.stringify(key)} got ${say(answer)}, not 400`);
    }
    return pass('400 each');
  },
};

const quoted: Check = {
  id: 'quoted-and-bare',
  title: 'the quoted and the bare form are the same key',
  draft: 'the header is a quoted string',
  practice: 'nearly all clients send it bare, so a server that takes both must take them as one',
  async run(target) {
    const key = target.newKey();
    const bare = answerOf(await target.send({ key }));
    const first = answerOf(await target.send({ key: `"${key}"` }));
    if (first.status === 400) return skip('the quoted form is refused');
    if (bare.status === 400) return skip('the bare form is refused, as the draft has it');
    if (sameAnswer(bare, first)) return pass('the same answer');
    return fail(`two keys: ${say(bare)} and ${say(first)}`);
  },
};

const repeated: Check = {
  id: 'repeated-header',
  title: 'a repeated header is refused',
  draft: 'an Item field must not come twice (RFC 9651, section 4.2)',
  practice: 'picking one of two keys silently hides a fault of a client or proxy',
  async run(target) {
    const keyLines = [
      ['Idempotency-Key', target.newKey()],
      ['Idempotency-Key', target.newKey()],
    ] as const;
    const answer = answerOf(await target.send({ keyLines }));
    return answer.status === 400 ? pass('400') : fail(`expected 400, got ${say(answer)}`);
  },
};

const length: Check = {
  id: 'key-length',
  title: 'keys of 1 and 255 characters work, and long keys are never cut',
  draft: 'no length is given; a resource publishes its own',
  practice: '255 characters (Stripe); a key beyond the bound is refused, not truncated',
  async run(target) {
    // One visible character; a run may not have it for itself, so it is checked for refusal only.
    const one = answerOf(await target.send({ key: '~' }));
    if (one.status === 400) return fail(`one character was refused: ${say(one)}`);
    const long = (target.newKey() + 'k'.repeat(255)).slice(0, 255);
    const first = answerOf(await target.send({ key: long }));
    if (first.status === 400) return fail(`255 characters were refused: ${say(first)}`);
    const again = answerOf(await target.send({ key: long }));
    if (!sameAnswer(first, again)) return fail('255 characters were accepted but not remembered');
    const longer = answerOf(await target.send({ key: `${long}a`, body: 'altered' }));
    if (longer.status === 400) return pass('up to 255, longer ones are refused');
    if (longer.status === 422) return fail('a key of 256 characters was cut to the one of 255');
    return longer.status < 500 ? pass('also beyond 255') : fail(`256: ${say(longer)}`);
  },
};

export const keyChecks: readonly Check[] = [missing, malformed, quoted, repeated, length];
