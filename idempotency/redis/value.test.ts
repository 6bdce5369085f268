import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IdempotencyRecord } from '../answer.ts';
import { decodeRecord, encodeRecord } from './value.ts';

const fingerprint = fc.stringMatching(/^[0-9a-f]{64}$/);
const plain = { noNullPrototype: true };
const answer = fc.record(
  {
    status: fc.integer({ min: 100, max: 999 }),
    headers: fc.dictionary(fc.string(), fc.string({ unit: 'grapheme' }), plain),
    body: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  },
  plain,
);
const expiresAt = fc.double({ noDefaultInfinity: true, noNaN: true });
const anyRecord: fc.Arbitrary<IdempotencyRecord> = fc.oneof(
  fc.record({ fingerprint, answer }, plain),
  fc.record({ fingerprint, answer, expiresAt }, plain),
);

test('a record read back is the one that was written, expiry and all', () => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      assert.deepEqual(decodeRecord(encodeRecord(record)), record);
    }),
  );
});

test('a value that lost or gained bytes is no record', () => {
  fc.assert(
    fc.property(anyRecord, fc.nat(), (record, at) => {
      const value = encodeRecord(record);
      assert.equal(decodeRecord(value.subarray(0, at % value.length)), undefined);
      assert.equal(decodeRecord(Buffer.concat([value, Buffer.alloc(1 + (at % 9))])), undefined);
    }),
  );
});

test('a value with a field that cannot be is no record', () => {
  const answer = { status: 200, headers: {}, body: Buffer.alloc(0) };
  const valid = encodeRecord({ fingerprint: 'f'.repeat(64), answer });
  const changes: ((value: Buffer) => unknown)[] = [
    (value) => value.write('ik9r'),
    (value) => value.writeUInt32BE(value.length - 1, 68),
    (value) => value.writeUInt16BE(99, 72),
    (value) => value.writeUInt16BE(1000, 72),
    (value) => value.writeUInt16BE(3, 74),
    (value) => value.write('[}', 76),
    (value) => value.write('12', 76),
  ];
  assert.notEqual(decodeRecord(valid), undefined);
  for (const change of changes) {
    const value = Buffer.from(valid);
    change(value);
    assert.equal(decodeRecord(value), undefined, String(change));
  }
});

test('a value from before records carried their expiry is read', () => {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(76 + 2 + 8, 0);
  head.writeUInt16BE(201, 4);
  head.writeUInt16BE(2, 6);
  const value = Buffer.concat([
    Buffer.from(`ik1r${'f'.repeat(64)}`),
    head,
    Buffer.from('{}{"ab":{}'),
  ]);
  assert.deepEqual(decodeRecord(value), {
    fingerprint: 'f'.repeat(64),
    answer: { status: 201, headers: {}, body: Buffer.from('{"ab":{}') },
  });
});

test('an expiry that is no time bounds nothing', () => {
  for (const expiresAt of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const record = {
      fingerprint: 'f'.repeat(64),
      answer: { status: 200, headers: {}, body: Buffer.of(1) },
    };
    assert.deepEqual(decodeRecord(encodeRecord({ ...record, expiresAt })), record);
  }
});

test('a record whose fingerprint has another length is refused', () => {
  const answer = { status: 200, headers: {}, body: Buffer.alloc(0) };
  for (const length of [63, 65]) {
    const record = { fingerprint: 'f'.repeat(length), answer };
    assert.throws(() => encodeRecord(record), /64 ASCII characters/);
  }
});
