import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { planReplay } from './plan.ts';
import { writeOrders } from './testOrders.ts';

const most = 999_999_999_999_999;

function plan(t: TestContext, invoices: [invoice: string, units: number][], share: number) {
  const lines = invoices.map(([invoice, units]) => `${invoice},2010-12-01T08:26:00Z,${units},A B`);
  const content = `invoice,invoiced_at,units,stock_codes\n${lines.join('\n')}\n`;
  return planReplay(writeOrders(t, content), undefined, share);
}

const times = (count: number, invoice: string, units: number) =>
  Array.from({ length: count }, (): [string, number] => [invoice, units]);

const tooMany = (line: number) => ({
  name: 'OrdersFileError',
  message: new RegExp(`line ${line}: the units of product A add up to 2\\^53 or more$`),
});

test('units that leave are counted per product', async (t) => {
  const { leaving } = await plan(
    t,
    [...times(1, '1', 5), ...times(1, 'C2', -3), ...times(1, '3', -1)],
    1,
  );
  assert.deepEqual(Object.fromEntries(leaving), { A: 4, B: 2 });
});

test('more leaving units than can be counted are refused at their line', async (t) => {
  await assert.rejects(plan(t, times(20, '1', most), 0), tooMany(20));
});

test('more returns than the service can count are refused at their line', async (t) => {
  await assert.rejects(plan(t, times(20, 'C1', -most), 1), tooMany(20));
});

test('returns are counted on top of the opening stock that the run receives', async (t) => {
  const invoices = [...times(10, '1', most), ...times(10, 'C2', -most)];
  await assert.rejects(plan(t, invoices, 1), tooMany(20));
  assert.equal((await plan(t, invoices, 0.5)).orders, 20);
});
