/** Plays one history twice, on the domain and on the naive model, and compares after each step. */

import assert from 'node:assert/strict';
import type { Command } from '../commands.ts';
import { apply, type Context, decide, expire } from '../decide.ts';
import { exampleStock, warehouses } from '../examples.ts';
import type { Posted } from '../outcomes.ts';
import { reservationStatus, type Stock } from '../stock.ts';
import { type Intent, opening, pickId } from './histories.ts';
import { LedgerModel } from './ledgerModel.ts';
import { expect } from './ledgerRules.ts';

export interface Played {
  stock: Stock;
  ledger: LedgerModel;
  posted: Posted[];
  now: number;
  /** The type of each command posted, the code of each refused. */
  fates: Set<string>;
}

/** Plays a history on both sides; they must agree on each outcome and on what it leaves. */
export function play(intents: readonly Intent[]): Played {
  const fates = new Set<string>();
  const played = { stock: exampleStock(), ledger: new LedgerModel(), posted: [], now: 1e6, fates };
  let ids = 0;
  const nextId = () => `id-${++ids}`;
  for (const step of [...opening, ...intents]) {
    if (step.kind === 'wait') played.now += step.ms;
    if (step.kind === 'backorder') {
      played.stock.products.set('Z', { allowBackorder: step.allowed });
    }
    if (step.kind !== 'command') continue;
    const context = { now: played.now, recordedAt: played.now, nextId };
    const { stock, ledger } = played;
    stock.overdue = ledger.overdue(played.now);
    expireBoth(played, context);
    decideBoth(played, resolve(step.command, step.pick, ledger), context);
    assert.deepEqual(new Set(stock.overdue), new Set(ledger.overdue(played.now)));
    expireBoth(played, context);
    assertSameQuantities(played);
  }
  return played;
}

export function resolve(command: Command, pick: number, ledger: LedgerModel): Command {
  if ('reservation' in command) {
    const ids = ledger.reservations.map(({ id }) => id);
    return { ...command, reservation: pickId(ids, pick) };
  }
  if (command.type !== 'reversal') return command;
  const ids = ledger.postings.map(({ id }) => id);
  return { ...command, posting: pickId(ids, pick) };
}

function expireBoth({ stock, ledger, posted }: Played, context: Context): void {
  const holds = structuredClone(stock.overdue);
  for (const outcome of expire(stock, context)) {
    apply(stock, outcome);
    posted.push(outcome);
    const { id, reservation: expired } = outcome.posting;
    ledger.recordExpiry(id, expired, holds);
  }
}

function decideBoth(played: Played, command: Command, context: Context): void {
  const { stock, ledger, now, fates } = played;
  const backorder = new Map([...stock.products].map(([code, p]) => [code, p.allowBackorder]));
  const expected = expect(ledger, { warehouses, backorder }, command, now);
  const before = structuredClone(stock);
  const outcome = decide(stock, command, context);
  assert.deepEqual(stock, before, 'decide changed the stock');
  apply(stock, outcome);
  if (!outcome.posted) {
    fates.add(outcome.refusal.code);
    assert.deepEqual({ code: outcome.refusal.code }, expected);
    assert.deepEqual(stock, before, 'a refusal changed the stock');
    return;
  }
  fates.add(command.type);
  if ('code' in expected) assert.fail(`posted, but expected ${expected.code}`);
  ledger.record(command, expected, outcome.posting.id, outcome.posting.reservation);
  played.posted.push(outcome);
}

function assertSameQuantities({ stock, ledger, now }: Played): void {
  for (const { warehouse: place, product: code, onHand, reserved } of stock.levels.values()) {
    const { available, ...expected } = ledger.level(place, code);
    assert.deepEqual({ onHand: BigInt(onHand), reserved: BigInt(reserved) }, expected);
    assert.equal(BigInt(onHand - reserved), available);
  }
  assert.equal(stock.reservations.size, ledger.reservations.length);
  for (const held of stock.reservations.values()) {
    for (const { product: code, ...line } of held.lines) {
      const { held: units, ...expected } = ledger.line(held.id, code);
      const actual = Object.entries(line).map(([name, n]) => [name, BigInt(n)]);
      assert.deepEqual(Object.fromEntries(actual), expected);
      if (units > 0n) assert.notEqual(reservationStatus(held, now), 'closed');
    }
  }
}
