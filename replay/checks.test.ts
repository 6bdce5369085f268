import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAnswers, checkMemory, checkMovements } from './checks.ts';
import type { Command } from './command.ts';
import type { Reply } from './connection.ts';
import type { Plan } from './plan.ts';
import { Tally } from './tally.ts';

const plan: Plan = {
  run: { name: 't', warehouse: 'REPLAY-t' },
  orders: 2,
  lines: 2,
  empty: 1,
  leaving: new Map(),
};

const command: Command = {
  path: '/v1/shipments',
  key: 'k',
  body: '{}',
  lines: [{ product: 'A', change: -3 }],
};

function reply(status: number, body: object): Reply {
  return { status, headers: {}, body: Buffer.from(JSON.stringify(body)) };
}

const moved = (onHandChange: number) => reply(201, { movements: [{ product: 'A', onHandChange }] });

function failures(tally: Tally, opening = 1): string[] {
  const checks = checkAnswers(tally, plan, opening);
  return checks.filter(({ passed }) => !passed).map(({ sentence }) => sentence);
}

test('passes when every invoice with units was decided and moved what was asked', () => {
  const tally = new Tally();
  tally.decide(command, moved(-3), 1);
  assert.deepEqual(failures(tally), []);
  assert.deepEqual([...tally.changes], [['A', -3]]);
});

test('fails when an invoice was not decided', () => {
  assert.deepEqual(failures(new Tally()), ['0 of 1 invoices with units were decided']);
});

test('fails when an answer moves something else than was asked', () => {
  const tally = new Tally();
  tally.decide(command, moved(-2), 1);
  assert.deepEqual(failures(tally), ['1 wrong answers: k: asked to move -3 units, answered -2']);
});

test('fails on refusals, but for missing stock where it may be missing', () => {
  const tally = new Tally();
  tally.decide(command, reply(409, { code: 'insufficient-stock' }), 1);
  assert.deepEqual(failures(tally, 0.5), []);
  assert.deepEqual(failures(tally, 1), ['refused: insufficient-stock']);
  assert.deepEqual([...tally.changes], []);

  const other = new Tally();
  other.decide(command, reply(404, { code: 'unknown-product' }), 1);
  assert.deepEqual(failures(other, 0.5), ['refused: unknown-product']);
});

test('fails when the ledger has more or fewer movements than the answers tell of', () => {
  assert.deepEqual(
    [9, 10, 11].map((inLedger) => checkMovements(inLedger, 10).passed),
    [false, true, false],
  );
});

test('fails when the service took 400 MiB or more', () => {
  assert.deepEqual(
    [399, 400].map((peakMiB) => checkMemory(peakMiB).passed),
    [true, false],
  );
});
