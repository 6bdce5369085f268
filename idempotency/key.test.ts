import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyInvalid, KeyMissing } from './errors.ts';
import { parseIdempotencyKey, parseKeyText } from './key.ts';

const parse = (value: string) => parseIdempotencyKey({ 'idempotency-key': value });

test('the quoted string and the bare token are the same key', () => {
  assert.equal(parse('"8e03978e-40d5"'), '8e03978e-40d5');
  assert.equal(parse('8e03978e-40d5'), '8e03978e-40d5');
  assert.equal(parse('  k\t'), 'k');
  assert.equal(parse('"a\\"b\\\\c"'), 'a"b\\c');
});

test('a key has 1 to 255 visible ASCII characters', () => {
  assert.equal(parse('k'.repeat(255)), 'k'.repeat(255));
  assert.equal(parse(`"${'k'.repeat(255)}"`), 'k'.repeat(255));
  const visible = "!#$%&'()*+-./09:;<=>?@AZ[\\]^_`az{|}~";
  assert.equal(parse(visible), visible);
  for (const bad of ['', ' ', '""', 'k'.repeat(256), `"${'k'.repeat(256)}"`, 'a b', '"a b"', 'é']) {
    assert.throws(() => parse(bad), KeyInvalid, JSON.stringify(bad));
  }
});

test('a malformed quoted string is invalid', () => {
  for (const bad of ['"', '"a', 'a"', '"a"b', '"a\\"', '"a\\n"', '"a";p=1', '\u0000', 'a\u0001']) {
    assert.throws(() => parse(bad), KeyInvalid, JSON.stringify(bad));
  }
});

test('a key in a body is its characters, or the quoted string of a header', () => {
  for (const key of ['k', 'a,b', 'a"b', '"a', 'a"', '"a"b', ',', '"', 'k'.repeat(255)]) {
    assert.equal(parseKeyText(key), key);
    const header = `"${key.replace(/["\\]/g, '\\$&')}"`;
    assert.equal(parseKeyText(header), key);
    assert.equal(parse(header), key);
  }
  for (const bad of ['', ' k', 'k\n', 'k\u00a0', 'a b', '"a b"', '""', 'é', 'k'.repeat(256)]) {
    assert.throws(() => parseKeyText(bad, '`key`'), /^KeyInvalid.*: The `key` is invalid: /, bad);
  }
});

test('a request without either header is missing its key', () => {
  assert.throws(() => parseIdempotencyKey({}), KeyMissing);
  assert.throws(() => parseIdempotencyKey({ 'idempotency-key': [] }), KeyMissing);
});

test('the alias counts, and may repeat the key but not contradict it', () => {
  assert.equal(parseIdempotencyKey({ 'x-idempotency-key': 'a' }), 'a');
  assert.equal(parseIdempotencyKey({ 'x-idempotency-key': 'a', 'idempotency-key': '"a"' }), 'a');
  const both = { 'x-idempotency-key': 'b', 'idempotency-key': 'a' };
  assert.throws(() => parseIdempotencyKey(both), KeyInvalid);
});

test('a repeated header is invalid, however the server presents it', () => {
  for (const joined of ['a, b', 'a, a', '"a", "a"', '"a, b"', 'a,a']) {
    assert.throws(() => parse(joined), KeyInvalid, joined);
  }
  assert.throws(() => parseIdempotencyKey({ 'idempotency-key': ['a', 'a'] }), KeyInvalid);
  const raw = ['Idempotency-Key', 'a', 'IDEMPOTENCY-KEY', 'a'];
  assert.throws(() => parseIdempotencyKey({ 'idempotency-key': 'a' }, raw), KeyInvalid);
  assert.equal(parseIdempotencyKey({ 'idempotency-key': 'a' }, raw.slice(2)), 'a');
});
