import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, Probe } from '../workload/history.ts';
import type { CheckName } from './anomaly.ts';
import { namesOf, receipt, sound } from './sound.ts';

/** The sound example, in which 1 of the 2 reserved units is shipped at 60 and 1 released at 80. */
function settled() {
  const { example, received, reservation } = sound();
  const lines = [{ product: 'P1', quantity: 1 }];
  const ship: Command = { type: 'reservation-ship', reservation, lines };
  const shipped = example.post(60, ship, [['P1', -1, -1]]);
  const release: Command = { type: 'reservation-release', reservation };
  const released = example.post(80, release, [['P1', 0, -1]]);
  const undo: Command = { type: 'reversal', posting: shipped.posting.id };
  const reversed = example.post(100, undo, [['P1', 1, 1]]);
  return { example, received, shipped, released, reversed, reservation };
}

test('right answers of reservations and reversals are no anomaly', () => {
  assert.deepEqual(namesOf(settled().example), []);
});

for (const [name, right, wrong] of [
  ['received', '"type":"receipt"', '"type":"shipment"'],
  ['received', '"available":10', '"available":9'],
  ['received', '"reference":"north/', '"reference":"south/'],
  ['shipped', '"status":"active"', '"status":"closed"'],
  ['shipped', '"shipped":1', '"shipped":0'],
  ['shipped', '"quantity":2', '"quantity":1'],
  ['shipped', '"expiresAt":"2023', '"expiresAt":"2024'],
  ['shipped', '{"id":"r', '{"id":"q'],
  ['released', '"status":"closed"', '"status":"active"'],
  ['released', '"released":1', '"released":2'],
  ['released', '"reservation":"r', '"reservation":"q'],
  ['released', '"posting":', '"post":'],
  ['reversed', '"reverses":"p', '"reverses":"q'],
] as const) {
  test(`${name} with ${wrong} for ${right} is noticed`, () => {
    const bent = settled();
    const { answer, operation } = bent[name];
    assert.ok(answer.body.includes(right), answer.body);
    answer.body = answer.body.replace(right, wrong);
    const record = bent.example.snapshot.records.find(({ key }) => key === operation.key);
    Object.assign(record as object, { body: answer.body });
    assert.deepEqual(namesOf(bent.example), ['exactly-once']);
  });
}

test('a Location that leads elsewhere is noticed', () => {
  for (const name of ['received', 'shipped', 'reversed'] as const) {
    const bent = settled();
    bent[name].answer.headers = '/v1/postings/p0 application/json -';
    assert.deepEqual(namesOf(bent.example), ['exactly-once'], name);
  }
});

test('a read whose ETag is not the sequence, or whose available is not the rest, is noticed', () => {
  for (const [more, names] of [
    [{ etag: undefined }, []],
    [{ etag: '"1"' }, ['read']],
    [{ available: 6 }, ['read']],
  ] as const) {
    const { example } = sound();
    example.read(60, 3, 6, 2, more);
    assert.deepEqual(namesOf(example), names, JSON.stringify(more));
  }
});

test('two answers that do not say that they are repeats are noticed', () => {
  for (const [replayed, names] of [
    [true, []],
    [false, ['repeat']],
  ] as const) {
    const { example, received } = sound();
    const { operation, answer } = received;
    Object.assign(answer, { replayed: false });
    const { status, body, headers } = answer;
    Object.assign(example.answer(operation, 60, status, body), { headers, replayed });
    assert.deepEqual(namesOf(example), names);
  }
});

test('a request that is refused for its key after its answer is noticed', () => {
  const { example, received } = sound();
  const reused = JSON.stringify({ code: 'idempotency-key-reused' });
  example.answer(received.operation, 60, 422, reused);
  const other = example.refuse(60, receipt(1), 422, { code: 'idempotency-key-reused' });
  Object.assign(other.operation, { key: received.operation.key });
  example.snapshot.records.pop();
  assert.deepEqual(namesOf(example), ['misuse']);
});

test('a record that is not kept for a day is noticed', () => {
  const { example } = sound();
  Object.assign(example.snapshot.records[0] as object, { keptMs: 86_400_000 - 30_000 });
  assert.deepEqual(namesOf(example), []);
  Object.assign(example.snapshot.records[0] as object, { keptMs: 864_000 });
  assert.deepEqual(namesOf(example), ['record']);
});

for (const [what, bend] of [
  ['counted otherwise', { lines: { P1: { held: 1, shipped: 1, released: 0, expired: 0 } } }],
  ['closed though it holds units', { closed: true }],
] as const) {
  test(`a reservation that is ${what} is noticed`, () => {
    const { example, reservation } = settled();
    Object.assign(example.reservation(reservation) as object, bend);
    assert.deepEqual(namesOf(example), ['effect']);
  });
}

test('a reservation of which nothing is left and that is not closed is noticed', () => {
  const { example, reservation } = sound();
  example.post(60, { type: 'reservation-release', reservation }, [['P1', 0, -2]]);
  assert.deepEqual(namesOf(example), []);
  Object.assign(example.reservation(reservation) as object, { closed: false });
  assert.deepEqual(namesOf(example), ['effect']);
});

test('an expiry in another warehouse is noticed', () => {
  const { example, reservation } = sound();
  const posting = example.posting(1_104, { type: 'expiry', reservation });
  const movement = example.move(posting, 'P1', 0, -2);
  assert.deepEqual(namesOf(example), []);
  Object.assign(movement, { warehouse: 'W2', sequence: 1 });
  assert.ok(namesOf(example).includes('effect'));
});

test('a movement that is dated before the one in front of it is noticed', () => {
  const { example } = sound();
  const operation = example.operation(receipt(1));
  operation.attempts.push(example.sent(20));
  example.move(example.posting(24, { reference: operation.id }), 'P1', 1, 0);
  assert.deepEqual(namesOf(example), ['clock']);
});

for (const [what, body, check] of [
  [
    'key',
    (own: unknown) => ({ status: 'completed', answer: { status: 201, body: own } }),
    'record',
  ],
  ['posting', (own: { posting: object }) => own.posting, 'read'],
  [
    'movements',
    (own: { posting: { movements: object[] } }) => ({ items: own.posting.movements }),
    'read',
  ],
  ['reservation', (own: { id: string }) => own, 'read'],
] as const satisfies readonly (readonly [Probe['what'], (own: never) => unknown, CheckName])[]) {
  test(`a probe of the ${what} that says something else than the answer is noticed`, () => {
    const { example, shipped } = settled();
    const { operation, answer } = shipped;
    const right = JSON.stringify(body(JSON.parse(answer.body) as never));
    for (const [text, names] of [
      [right, []],
      [right.replace(/"(sequence|shipped)":\d+/, '"$1":7').replace('"id":"r', '"id":"q'), [check]],
    ] as const) {
      example.history.probes.splice(0, 1, { operation, what, body: text });
      assert.deepEqual(namesOf(example), names, text);
    }
  });
}
