import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson } from './canonical-json.ts';
import { NotCanonical } from './errors.ts';
import { fingerprint, rawFingerprint } from './fingerprint.ts';

test('canonical JSON follows the example of RFC 8785 section 3.2', () => {
  const value = JSON.parse(`{
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, -0],
    "string": "\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\"\\/",
    "literals": [null, true, false]
  }`);
  assert.equal(
    canonicalJson(value),
    '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27,0],' +
      '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
  );
});

test('members are sorted by UTF-16 code units at every level', () => {
  const value = {
    '\u20ac': 1,
    '\r': 2,
    '\ufb33': 3,
    '1': 4,
    '\u{1f600}': 5,
    '\u0080': 6,
    ö: { b: 1, a: 2 },
  };
  assert.equal(
    canonicalJson(value),
    '{"\\r":2,"1":4,"\u0080":6,"ö":{"a":2,"b":1},"€":1,"\u{1f600}":5,"\ufb33":3}',
  );
});

test('canonical JSON parses back to the value and is stable, for any JSON value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const parsed: unknown = JSON.parse(JSON.stringify(value));
      const text = canonicalJson(parsed);
      assert.deepEqual(JSON.parse(text), parsed);
      assert.equal(canonicalJson(JSON.parse(text)), text);
    }),
  );
});

test('lone surrogates are refused, in values and in names', () => {
  for (const bad of ['\ud800', 'a\udc00b', { '\ud800': 1 }, ['\ud83d'.padEnd(100, 'x')]]) {
    assert.throws(() => canonicalJson(bad), NotCanonical);
  }
});

test('a value 50,000 levels deep is refused without a stack overflow', () => {
  const arrays: unknown = JSON.parse('['.repeat(50_000) + ']'.repeat(50_000));
  const objects: unknown = JSON.parse(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`);
  assert.throws(() => canonicalJson(arrays), NotCanonical);
  assert.throws(() => canonicalJson(objects), NotCanonical);
  const allowed: unknown = JSON.parse('['.repeat(1000) + ']'.repeat(1000));
  assert.equal(canonicalJson(allowed).length, 2000);
});

test('what is not JSON is refused rather than flattened', () => {
  for (const bad of [
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    new Date(),
    new Map(),
    () => 1,
  ]) {
    assert.throws(() => canonicalJson(bad), NotCanonical);
    assert.throws(() => canonicalJson({ a: bad }), NotCanonical);
  }
});

test('a __proto__ member counts', () => {
  const a = fingerprint({ method: 'POST', path: '/', body: JSON.parse('{"__proto__":{"x":1}}') });
  const b = fingerprint({ method: 'POST', path: '/', body: {} });
  assert.notEqual(a, b);
});

test('member order and white space do not change the fingerprint; everything else does', () => {
  const request = { method: 'POST', path: '/a', query: 'x=1', body: JSON.parse('{"a":1,"b":[2]}') };
  const print = fingerprint(request);
  assert.match(print, /^[0-9a-f]{64}$/);
  assert.equal(fingerprint({ ...request, body: JSON.parse('{ "b":[2.0],  "a":1e0 }') }), print);
  const others = [
    { ...request, method: 'PUT' },
    { ...request, path: '/ax', query: '=1' },
    { ...request, query: 'x=2' },
    { ...request, query: undefined },
    { ...request, body: { a: 1, b: [3] } },
    { ...request, body: { a: '1', b: [2] } },
    { ...request, body: undefined },
    { ...request, body: null },
  ];
  assert.equal(new Set([print, ...others.map(fingerprint)]).size, others.length + 1);
});

test('a raw body counts byte by byte and never equals a JSON one', () => {
  const request = { method: 'POST', path: '/a' };
  const body = Buffer.from('{"a":1}');
  assert.notEqual(
    rawFingerprint({ ...request, body }),
    fingerprint({ ...request, body: { a: 1 } }),
  );
  assert.notEqual(
    rawFingerprint({ ...request, body }),
    rawFingerprint({ ...request, body: Buffer.from('{"a": 1}') }),
  );
});
