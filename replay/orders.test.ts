import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Order, readOrders } from './orders.ts';

const HEADER = 'invoice,invoiced_at,units,stock_codes';
const LINE = '536365,2010-12-01T08:26:00Z,40,85123A 71053';

function fileOf(t: TestContext, content: string | Buffer, name = 'orders.csv'): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'onhand-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

async function read(file: string): Promise<{ orders: Order[]; fault: string | undefined }> {
  const orders: Order[] = [];
  try {
    for await (const order of readOrders(file)) orders.push(order);
    return { orders, fault: undefined };
  } catch (error) {
    return { orders, fault: (error as Error).message.replace(file, 'FILE') };
  }
}

describe('readOrders', () => {
  const order = { line: 2, invoice: '536365', invoicedAt: '2010-12-01T08:26:00Z', units: 40 };
  const expected = [{ ...order, stockCodes: ['85123A', '71053'] }];

  const forms: [name: string, content: string | Buffer][] = [
    ['plain', `${HEADER}\n${LINE}\n`],
    ['without a last line break', `${HEADER}\n${LINE}`],
    ['with CRLF and a byte order mark', `\ufeff${HEADER}\r\n${LINE}\r\n`],
    ['with empty lines at the end', `${HEADER}\n${LINE}\n\n\n`],
    ['gzip, whatever its name', gzipSync(`${HEADER}\n${LINE}\n`)],
  ];
  for (const [name, content] of forms) {
    test(`reads a file that is ${name}`, async (t) => {
      assert.deepEqual(await read(fileOf(t, content)), { orders: expected, fault: undefined });
    });
  }

  test('reads BANK CHARGES as the one stock code that it is', async (t) => {
    const file = fileOf(t, `${HEADER}\n1,2010-12-01T08:26:00Z,3,M BANK CHARGES BANK\n`);
    const { orders } = await read(file);
    assert.deepEqual(orders[0]?.stockCodes, ['M', 'BANK CHARGES', 'BANK']);
  });

  test('reads lines across the chunks of a large file, and digests what it reads', async (t) => {
    const lines = Array.from({ length: 9_000 }, (_, index) => LINE.replace('536365', `${index}`));
    const content = `${[HEADER, ...lines].join('\n')}\n`;
    const digest = createHash('sha256');
    let next = 0;
    for await (const { invoice, line } of readOrders(fileOf(t, gzipSync(content)), digest)) {
      assert.deepEqual([invoice, line], [String(next), next + 2]);
      next += 1;
    }
    assert.equal(next, 9_000);
    assert.equal(digest.digest('hex'), createHash('sha256').update(content).digest('hex'));
  });

  const code65 = 'x'.repeat(65);
  const many = Array.from({ length: 2_001 }, () => 'A').join(' ');
  const malformed: [line: string | Buffer, fault: RegExp][] = [
    ['1,2010-12-01T08:26:00Z,3', /has 3 fields instead of 4/],
    ['1,2010-12-01T08:26:00Z,3,A,B', /has 5 fields instead of 4/],
    ['"1",2010-12-01T08:26:00Z,3,A', /quoted fields are not part of this format/],
    [',2010-12-01T08:26:00Z,3,A', /invoice must be .*, not ""/],
    ['a b,2010-12-01T08:26:00Z,3,A', /invoice must be .*, not "a b"/],
    ['1,2010-12-01,3,A', /invoiced_at must be an RFC 3339 time .*, not "2010-12-01"/],
    ['1,2010-13-01T08:26:00Z,3,A', /invoiced_at must be/],
    ['1,2010-02-30T00:00:00Z,3,A', /invoiced_at must be/],
    ['1,2010-01-01T24:00:00Z,3,A', /invoiced_at must be/],
    ['1,0000-01-01T00:00:00Z,3,A', /invoiced_at must be/],
    ['1,9999-12-31T23:59:59-12:00,3,A', /invoiced_at must be/],
    ['1,2010-12-01T08:26:00Z,1.5,A', /units must be a whole number .*, not "1.5"/],
    ['1,2010-12-01T08:26:00Z,,A', /units must be/],
    ['1,2010-12-01T08:26:00Z,1234567890123456,A', /units must be/],
    ['1,2010-12-01T08:26:00Z,3,', /stock_codes must be separated by one space/],
    ['1,2010-12-01T08:26:00Z,3,A  B', /stock_codes must be separated by one space/],
    ['1,2010-12-01T08:26:00Z,3,A\u0007', /stock code "A\\u0007" has a control character/],
    [`1,2010-12-01T08:26:00Z,3,${code65}`, /is too long for a product code/],
    [`1,2010-12-01T08:26:00Z,3,${many}`, /has 2001 stock codes; at most 2000/],
    [Buffer.from([0x31, 0xff, 0x2c]), /is not UTF-8/],
    ['', /is empty/],
    ['y'.repeat(400_000), /is longer than 262144 bytes/],
  ];
  for (const [line, fault] of malformed) {
    const shown = JSON.stringify(line.toString().slice(0, 40));
    test(`stops at ${shown} with its line, after the lines before it`, async (t) => {
      const parts = [`${HEADER}\n${LINE}\n`, line, `\n${LINE}\n`];
      const { orders, fault: found } = await read(
        fileOf(t, Buffer.concat(parts.map((part) => Buffer.from(part)))),
      );
      assert.deepEqual(orders, expected);
      assert.match(found ?? '', /^FILE, line 3: /);
      assert.match(found ?? '', fault);
    });
  }

  test('names what is wrong with the file as a whole', async (t) => {
    const faultOf = async (content: string | Buffer) => (await read(fileOf(t, content))).fault;
    assert.equal(await faultOf(''), 'FILE, line 1: the file is empty');
    assert.match((await faultOf('a;b\n')) ?? '', /line 1: the header must be invoice,.*"a;b"/);
    const whole = gzipSync(`${HEADER}\n${LINE}\n`);
    const cut = await faultOf(whole.subarray(0, whole.length - 12));
    assert.match(cut ?? '', /line \d: the gzip data is damaged/);
    assert.match((await read('/nowhere.csv')).fault ?? '', /ENOENT/);
  });
});
