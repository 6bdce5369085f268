import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock } from './testing/api.ts';
import { assertProblem, type Body } from './testing/caller.ts';

const api = await startApi({ after });
const { writer } = await api.tenant();
await stock(writer, 'P');

const body = { warehouse: 'W1', lines: [{ product: 'P', quantity: 1 }] };

/** Sends a receipt with these header lines, as they are. */
async function receive(headers: string[]): Promise<{ head: string; body: Body }> {
  const text = JSON.stringify(body);
  const fixed = ['Content-Type: application/json', `Content-Length: ${text.length}`];
  const answer = await writer.raw(['POST /v1/receipts HTTP/1.1', ...fixed, ...headers], text);
  const [head, json] = answer.split('\r\n\r\n') as [string, string];
  return { head, body: JSON.parse(json) };
}

async function assertSameKey(first: string[], second: string[]): Promise<void> {
  const one = await receive(first);
  assert.match(one.head, /^HTTP\/1.1 201 /, JSON.stringify(one.body));
  assert.doesNotMatch(one.head, /idempotent-replayed/i);
  const two = await receive(second);
  assert.match(two.head, /^HTTP\/1.1 201 /);
  assert.match(two.head, /\r\nidempotent-replayed: true\r\n/i);
  assert.deepEqual(two.body, one.body);
}

test('a key is the same quoted or bare', () =>
  assertSameKey(['Idempotency-Key: "form-1"'], ['Idempotency-Key: form-1']));

test('X-Idempotency-Key is an alias, in any case of its letters', () =>
  assertSameKey(['X-Idempotency-Key: alias-1'], ['iDEMPOTENCY-kEY: "alias-1"']));

test('both headers with one key are that key', () =>
  assertSameKey(
    ['Idempotency-Key: both-1', 'X-Idempotency-Key: "both-1"'],
    ['Idempotency-Key: both-1'],
  ));

test('white space around a key is no part of it', () =>
  assertSameKey(['Idempotency-Key:   space-1  '], ['Idempotency-Key: space-1']));

test('escapes in a quoted key stand for what they escape', () =>
  assertSameKey(['Idempotency-Key: "a\\\\b"'], ['Idempotency-Key: a\\b']));

test('a quoted key may hold a comma', () =>
  assertSameKey(['Idempotency-Key: "a,b"'], ['X-Idempotency-Key: "a,b"']));

for (const length of [1, 255]) {
  test(`a key of ${length} characters is a key, quoted and bare`, async () => {
    const key = '~'.repeat(length);
    await assertSameKey([`Idempotency-Key: ${key}`], [`Idempotency-Key: "${key}"`]);
    const known = await writer.get(`/v1/idempotency-keys/${encodeURIComponent(key)}`);
    assert.equal(known.body.status, 'completed');
  });
}

for (const [what, headers] of [
  ['of 0 characters', ['Idempotency-Key:']],
  ['of 0 characters in quotes', ['Idempotency-Key: ""']],
  ['of 256 characters', [`Idempotency-Key: ${'k'.repeat(256)}`]],
  ['of 256 characters in quotes', [`Idempotency-Key: "${'k'.repeat(256)}"`]],
  ['with a space', ['Idempotency-Key: a b']],
  ['with a space in quotes', ['Idempotency-Key: "a b"']],
  ['without its closing quote', ['Idempotency-Key: "a']],
  ['with something behind the quotes', ['Idempotency-Key: "a";p=1']],
  ['with a byte that is no ASCII', ['Idempotency-Key: caf\u00e9']],
  ['with a bare comma, as proxies join headers', ['Idempotency-Key: a, b']],
  ['sent twice', ['Idempotency-Key: a', 'Idempotency-Key: b']],
  ['sent twice alike', ['Idempotency-Key: a', 'Idempotency-Key: a']],
  ['whose alias is sent twice', ['X-Idempotency-Key: a', 'X-Idempotency-Key: a']],
  ['that its alias contradicts', ['Idempotency-Key: a', 'X-Idempotency-Key: b']],
  ['whose alias is malformed', ['Idempotency-Key: a', 'X-Idempotency-Key: "']],
] as const) {
  test(`a key ${what} is idempotency-key-invalid, and nothing happens`, async () => {
    const before = await writer.level('W1', 'P');
    const reply = await receive([...headers]);
    assert.match(reply.head, /^HTTP\/1.1 400 /);
    assert.match(reply.head, /\r\ncontent-type: application\/problem\+json\r\n/);
    assert.equal(reply.body.code, 'idempotency-key-invalid');
    assert.equal(await writer.level('W1', 'P'), before);
  });
}

const commands: [path: string, body: unknown][] = [
  ['/v1/receipts', body],
  ['/v1/shipments', body],
  ['/v1/transfers', { from: 'W1', to: 'W2', lines: body.lines }],
  ['/v1/adjustments', { warehouse: 'W1', reason: 'r', lines: [{ product: 'P', change: 1 }] }],
  ['/v1/counts', { warehouse: 'W1', lines: [{ product: 'P', counted: 1 }] }],
  ['/v1/reservations', body],
  ['/v1/reservations/x/ship', {}],
  ['/v1/reservations/x/release', {}],
  ['/v1/reservations/x/extend', { ttlSeconds: 1 }],
  ['/v1/postings/x/reverse', { reason: 'r' }],
];
for (const [path, valid] of commands) {
  test(`POST ${path} without a key is idempotency-key-missing`, async () => {
    const before = await writer.level('W1', 'P');
    assertProblem(await writer.send('POST', path, { body: valid }), 'idempotency-key-missing');
    // Also when the body is wrong: the missing key is what to learn first.
    assertProblem(await writer.send('POST', path, { body: { x: 1 } }), 'idempotency-key-missing');
    assert.equal(await writer.level('W1', 'P'), before);
  });
}
