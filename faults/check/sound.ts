import assert from 'node:assert/strict';
import type { Command } from '../workload/history.ts';
import type { CheckName } from './anomaly.ts';
import { check } from './check.ts';
import { Example } from './example.ts';

export const receipt = (quantity: number, product = 'P1'): Command => {
  return { type: 'receipt', warehouse: 'W1', lines: [{ product, quantity }] };
};
export const shipment = (quantity: number): Command => {
  return { type: 'shipment', warehouse: 'W1', lines: [{ product: 'P1', quantity }] };
};
export const reserve = (quantity: number, ttlSeconds: number): Command => {
  return { type: 'reservation', warehouse: 'W1', lines: [{ product: 'P1', quantity }], ttlSeconds };
};

/** 10 received at 0, 4 shipped at 10, 8 refused at 20, 2 of the 6 reserved at 30 for a second. */
export function sound() {
  const example = new Example();
  const received = example.post(0, receipt(10), [['P1', 10, 0]]);
  const shipped = example.post(10, shipment(4), [['P1', -4, 0]]);
  const short = [{ warehouse: 'W1', product: 'P1', requested: 8, available: 6 }];
  const problem = { code: 'insufficient-stock', lines: short };
  const refused = example.refuse(20, shipment(8), 409, problem);
  const reserved = example.post(30, reserve(2, 1), [['P1', 0, 2]]);
  const reservation = reserved.posting.reservation as string;
  return { example, received, shipped, refused, reserved, reservation, short, problem };
}

export function namesOf({ history, snapshot }: Example): CheckName[] {
  return [...new Set(check(history, snapshot).map((anomaly) => anomaly.check))];
}

export function assertNotices(example: Example, name: CheckName): void {
  assert.ok(namesOf(example).includes(name), `${name} is not among ${namesOf(example)}`);
}
