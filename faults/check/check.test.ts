import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from '../workload/history.ts';
import { check } from './check.ts';
import { Example } from './example.ts';
import type { RecordRow } from './snapshot.ts';
import { assertNotices, namesOf, receipt, shipment, sound } from './sound.ts';

test('a right history has no anomaly', () => {
  const { example } = sound();
  example.read(12, 1, 10, 0);
  example.read(50, 3, 6, 2);
  assert.deepEqual(check(example.history, example.snapshot), []);
});

test('an acknowledged command without an effect, or with two, is noticed', () => {
  const lost = sound().example;
  lost.answer(lost.operation(receipt(1)), 60, 201, '{"id":"p0","movements":[]}');
  assertNotices(lost, 'exactly-once');
  const twice = sound();
  const { operation } = twice.received;
  const again = twice.example.posting(60, { reference: operation.id });
  twice.example.move(again, 'P1', 10, 0);
  assertNotices(twice.example, 'exactly-once');
});

test('a refused command that took effect is noticed, and an effect that nobody asked for', () => {
  const { example, refused } = sound();
  const posting = example.posting(24, { type: 'shipment', reference: refused.operation.id });
  example.move(posting, 'P1', -8, 0);
  assertNotices(example, 'exactly-once');
  const stray = sound().example;
  stray.move(stray.posting(60, { reference: 'dry run' }), 'P1', 1, 0);
  assertNotices(stray, 'exactly-once');
});

test('an unanswered command may have taken effect or not', () => {
  for (const tookEffect of [true, false]) {
    const { example } = sound();
    const operation = example.operation(receipt(3));
    operation.attempts.push(example.sent(60));
    const posting = tookEffect ? example.posting(64, { reference: operation.id }) : undefined;
    if (posting) example.move(posting, 'P1', 3, 0);
    assert.deepEqual(namesOf(example), []);
  }
});

test('an answer that says something else than what was posted is noticed', () => {
  const { example, received } = sound();
  received.answer.body = received.answer.body.replace('"onHand":10', '"onHand":11');
  assertNotices(example, 'exactly-once');
});

for (const [what, bend] of [
  ['another status', { status: 200 }],
  ['another byte', { body: '{"id":"p"}' }],
  ['another header', { headers: 'other' }],
] as const) {
  test(`a repeat with ${what} is noticed`, () => {
    const { example, received } = sound();
    const { operation, answer } = received;
    const { status, body } = answer;
    Object.assign(example.answer(operation, 60, status, body), bend);
    assertNotices(example, 'repeat');
  });
}

test('an answer that is not recorded, or recorded otherwise, is noticed', () => {
  const missing = sound().example;
  missing.snapshot.records.shift();
  assertNotices(missing, 'record');
  const other = sound().example;
  Object.assign(other.snapshot.records[0] as object, { body: '{}' });
  assertNotices(other, 'record');
  const unknown = sound().example;
  const stray = { ...(unknown.snapshot.records[0] as RecordRow), tenant: 'south' };
  unknown.snapshot.records.push(stray);
  assertNotices(unknown, 'record');
});

test('a key that stands for two requests is noticed, and one refused though used once', () => {
  const { example, received } = sound();
  const other = example.post(60, receipt(1, 'P2'), [['P2', 1, 0]]);
  Object.assign(other.operation, { key: received.operation.key });
  assertNotices(example, 'misuse');
  const effect = sound();
  const told = effect.example.refuse(60, receipt(1), 422, { code: 'idempotency-key-reused' });
  Object.assign(told.operation, { key: effect.received.operation.key });
  assert.deepEqual(namesOf(effect.example), ['record'], 'its own record is one too many');
  const posting = effect.example.posting(64, { reference: told.operation.id });
  effect.example.move(posting, 'P1', 1, 0);
  assertNotices(effect.example, 'misuse');
  const once = sound().example;
  once.refuse(60, receipt(1), 422, { code: 'idempotency-key-reused' });
  assertNotices(once, 'misuse');
});

test('a wrong request that is not refused is noticed', () => {
  const { example } = sound();
  example.history.invalid.push({ what: 'no key', expected: 400, status: 201, body: '' });
  assert.deepEqual(namesOf(example), ['misuse']);
});

const reply = (status: number, code: string, more: object = {}) => {
  const body = JSON.stringify({ code });
  return {
    request: 'POST /v1/receipts',
    expected: undefined,
    status,
    retryAfter: '1',
    body,
    ...more,
  };
};

for (const [what, unwelcome, isRight] of [
  ['a failure that passes', reply(503, 'database-unavailable'), true],
  ['one of a command in a batch', reply(503, 'overloaded', { retryAfter: null }), true],
  ['one without Retry-After', reply(503, 'overloaded', { retryAfter: undefined }), false],
  ['a defect', reply(500, 'internal-error'), false],
  ['a defect in a batch', reply(500, 'internal-error', { retryAfter: null }), false],
  ['a 503 of something else', reply(503, 'lock-server-unavailable'), false],
  ['a refusal', reply(409, 'insufficient-stock', { retryAfter: undefined }), true],
  ['a refusal without a code', reply(409, '', { body: 'no' }), false],
  ['a read that is refused', reply(404, 'not-found', { expected: 200 }), false],
  ['a read that fails for a while', reply(503, 'database-unavailable', { expected: 200 }), true],
  ['a key that is not known', reply(404, 'not-found', { expected: 404 }), true],
  ['a batch with missing results', reply(200, '', { retryAfter: null }), false],
] as const) {
  test(`${what} is ${isRight ? 'not ' : ''}noticed`, () => {
    const { example } = sound();
    example.history.unwelcome.push(unwelcome);
    assert.deepEqual(namesOf(example), isRight ? [] : ['reply']);
  });
}

for (const field of [
  'sequence',
  'onHand',
  'reserved',
  'onHandChange',
  'hash',
  'recordedAt',
] as const) {
  test(`a movement with another ${field} is noticed`, () => {
    const { example, shipped } = sound();
    Object.assign(shipped.movements[0] as object, { [field]: field === 'hash' ? 'f' : 9 });
    assertNotices(example, 'ledger');
  });
}

test('a level that stands elsewhere than its last movement is noticed', () => {
  const { example } = sound();
  Object.assign(example.snapshot.levels[0] as object, { onHand: 7 });
  assert.deepEqual(namesOf(example), ['ledger']);
});

test('stock below zero is noticed, unless the product allows backorder', () => {
  const { example } = sound();
  example.post(60, shipment(5), [['P1', -5, 0]]);
  assert.deepEqual(namesOf(example), ['oversell']);
  example.history.catalogue = { ...example.history.catalogue, backorderProducts: ['P1'] };
  // What was right to refuse is not, either.
  assert.deepEqual(namesOf(example), ['refusal']);
});

test('an effect that is not what was asked for is noticed', () => {
  const { example } = sound();
  example.post(60, shipment(3), [['P1', -2, 0]]);
  assert.deepEqual(namesOf(example), ['effect']);
});

test('a count whose expectation did not hold is noticed', () => {
  const { example } = sound();
  const lines = [{ product: 'P1', counted: 6, expectedSequence: 2 }];
  example.post(60, { type: 'count', warehouse: 'W1', lines }, [['P1', 0, 0]]);
  assert.deepEqual(namesOf(example), ['effect']);
});

test('a count that expects the sequence from before an expiry of its own batch is none of another', () => {
  for (const [at, expectedSequence, isRight] of [
    [1_100, 3, true],
    [1_100, 2, false],
    [1_200, 3, false],
  ] as const) {
    const { example, reservation } = sound();
    example.move(example.posting(1_104, { type: 'expiry', reservation }), 'P1', 0, -2);
    const lines = [{ product: 'P1', counted: 6, expectedSequence }];
    example.post(at, { type: 'count', warehouse: 'W1', lines }, [['P1', 0, 0]]);
    assert.equal(namesOf(example).includes('effect'), !isRight, `${expectedSequence} at ${at}`);
  }
});

test('a reservation shipped after its expiry, or beyond what it held, is noticed', () => {
  for (const [at, quantity, isRight] of [
    [900, 2, true],
    [1_100, 2, false],
    [900, 3, false],
  ] as const) {
    const { example, reservation } = sound();
    const lines = [{ product: 'P1', quantity }];
    const command = { type: 'reservation-ship', reservation, lines } as const;
    example.post(at, command, [['P1', -quantity, -quantity]]);
    assert.equal(namesOf(example).includes('effect'), !isRight, `${quantity} at ${at}`);
  }
});

test('a posting reversed twice is noticed', () => {
  const { example, received } = sound();
  const { id } = received.posting;
  example.post(60, receipt(20), [['P1', 20, 0]]);
  for (const at of [70, 80]) {
    example.post(at, { type: 'reversal', posting: id }, [['P1', -10, 0]]);
  }
  assert.deepEqual(namesOf(example), ['effect']);
});

test('units come back to an expired reservation by a reversal, but are not taken from it', () => {
  const { example, reservation } = sound();
  const ship: Command = { type: 'reservation-ship', reservation };
  const shipped = example.post(40, ship, [['P1', -2, -2]]).posting;
  const undo = (at: number, id: string, onHand: number, reserved: number) =>
    example.post(at, { type: 'reversal', posting: id }, [['P1', onHand, reserved]]).posting;
  const back = undo(1_200, shipped.id, 2, 2);
  const end = example.posting(1_204, { type: 'expiry', reservation });
  example.move(end, 'P1', 0, -2);
  assert.deepEqual(check(example.history, example.snapshot), []);
  undo(1_300, back.id, -2, -2);
  assertNotices(example, 'effect');
});

test('units given back before the expiry are noticed, and an expiry by another clock', () => {
  const { example, reservation } = sound();
  const early = example.posting(600, { type: 'expiry', reservation });
  example.move(early, 'P1', 0, -2);
  assert.deepEqual(namesOf(example), ['clock']);
  const other = sound();
  Object.assign(other.example.snapshot.reservations[0] as object, { expiresAt: 1 });
  assert.deepEqual(namesOf(other.example), ['clock']);
});

test('a posting dated outside its request is noticed', () => {
  const { example } = sound();
  const operation = example.operation(receipt(1));
  operation.attempts.push(example.sent(60));
  example.move(example.posting(-500, { reference: operation.id }), 'P1', 1, 0);
  assertNotices(example, 'clock');
});

test('a posting of another tenant is noticed', () => {
  const { example } = sound();
  const operation = example.operation(receipt(1), { tenant: 'south' });
  operation.attempts.push(example.sent(60));
  example.move(example.posting(64, { reference: operation.id }), 'P1', 1, 0);
  assertNotices(example, 'tenant');
});

test('an order of movements against real time is noticed', () => {
  const { example, received } = sound();
  Object.assign(received.operation.attempts[0] as object, example.sent(19));
  Object.assign(received.answer, { at: 27, wall: example.start + 27 });
  assertNotices(example, 'order');
});

test('postings that no order explains are noticed', () => {
  const example = new Example();
  const lines = [
    { product: 'P1', quantity: 1 },
    { product: 'P2', quantity: 1 },
  ];
  const command: Command = { type: 'receipt', warehouse: 'W1', lines };
  const [one, two] = [example.operation(command), example.operation(command)];
  for (const each of [one, two]) each.attempts.push(example.sent(0));
  const first = example.posting(4, { reference: one.id });
  const second = example.posting(4, { reference: two.id });
  // The first before the second on one level, behind it on the other.
  example.move(first, 'P1', 1, 0);
  example.move(second, 'P1', 1, 0);
  example.move(second, 'P2', 1, 0);
  example.move(first, 'P2', 1, 0);
  assertNotices(example, 'order');
});

test('a read of an old state, of one to come, or of none at all is noticed', () => {
  for (const [at, sequence, onHand, reserved] of [
    [60, 2, 6, 0],
    [5, 3, 6, 2],
    [60, 3, 5, 2],
    [60, 3, 6, 1],
  ] as const) {
    const { example } = sound();
    example.read(at, sequence, onHand, reserved);
    assertNotices(example, 'read');
  }
});

test('a read that goes back behind another read is noticed', () => {
  const { example } = sound();
  const operation = example.operation(receipt(1));
  operation.attempts.push(example.sent(60));
  example.move(example.posting(64, { reference: operation.id }), 'P1', 1, 0);
  example.read(70, 4, 7, 2);
  assert.deepEqual(namesOf(example), []);
  example.read(80, 3, 6, 2);
  assert.deepEqual(namesOf(example), ['read']);
});

test('a read of what is lost is noticed, unless a primary was up that was lost with it', () => {
  const { example } = sound();
  example.read(60, 4, 9, 2);
  assert.deepEqual(namesOf(example), ['read']);
  const { history, snapshot } = example;
  assert.deepEqual(check(history, snapshot, [{ from: 61, until: 90 }]), []);
  for (const lost of [
    { from: 40, until: 59 },
    { from: 63, until: 90 },
  ]) {
    assert.notDeepEqual(check(history, snapshot, [lost]), [], `${lost.from}–${lost.until}`);
  }
});
