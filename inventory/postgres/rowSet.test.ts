import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { fateOf, pipelineRig, receipt } from '../testing/pipelineRig.ts';
import { type BatchWrite, writeBatch } from './batchWrite.ts';
import { type Database, openDatabase } from './database.ts';
import { migrate } from './migrate.ts';
import { run } from './operation.ts';
import { Transaction } from './transaction.ts';

async function openTestDatabase(t: TestContext): Promise<Database> {
  const { url } = await createTestDatabase(t);
  await migrate(url);
  const database = openDatabase({ url, connections: 2 });
  t.after(() => database.close());
  return database;
}

const instant = '2026-11-25T10:00:00.000Z';

/** One row of everything, with what a parameter and an array would have to escape. */
function writeOf(id: string, key: string, { hard }: { hard: boolean }): BatchWrite {
  const level = { warehouse: 'W1', product: key, onHand: -3, reserved: 0, sequence: 1 };
  const hash = 'c5'.repeat(32);
  return {
    tenant: 'demo',
    recordedAt: instant,
    decidedAt: instant,
    expiresAt: '2026-11-26T10:00:00.000Z',
    postings: [
      {
        id,
        type: 'adjustment',
        recordedAt: Date.parse(instant),
        reference: hard ? `{"a\\b", NULL}'; $1 ü \u{1f4e6}` : null,
        note: hard ? 'NULL' : null,
        occurredAt: hard ? '2026-11-25T09:59:59.123Z' : null,
        metadata: hard ? { quote: '"', separator: '\x1f', back: '\\', empty: '' } : null,
        reason: hard ? '' : 'damaged',
        reservation: hard ? id : null,
        reverses: hard ? id : null,
        movements: [
          { ...level, onHandChange: -3, reservedChange: 0, unitCost: hard ? '12.50' : null, hash },
        ],
      },
    ],
    levels: [{ ...level, hash, recordedAt: 0, mayBeNegative: true }],
    records: [
      {
        key,
        fingerprint: 'd6'.repeat(32),
        status: 201,
        headers: { location: hard ? '/v1/\x1f"ü\\' : '/' },
        body: hard ? Buffer.from([0, 1, 0x5c, 0x78, 0xff]) : Buffer.alloc(0),
        expiresAt: 0,
      },
    ],
  };
}

async function write(database: Database, batch: BatchWrite): Promise<void> {
  const transaction = await Transaction.open(database.writes);
  await transaction.pipelined(() => transaction.begin());
  await transaction.commit(() => [run(transaction, writeBatch, batch)]);
}

/** All that stands under a product and its key, without what tells the rows apart. */
async function stored(database: Database, key: string): Promise<unknown[]> {
  const tables = [
    `SELECT to_jsonb(m) - 'posting_id' - 'product' AS row FROM movements m WHERE product = $1`,
    `SELECT to_jsonb(l) - 'product' AS row FROM levels l WHERE product = $1`,
    `SELECT to_jsonb(r) - 'key' AS row FROM idempotency_records r WHERE key = $1`,
    `SELECT to_jsonb(p) - '{posting_id,reservation_id,reverses}'::text[]
            || jsonb_build_object('same', ARRAY[reservation_id, reverses] = ARRAY[posting_id, posting_id]) AS row
     FROM postings p JOIN movements m USING (tenant_id, posting_id) WHERE m.product = $1`,
  ];
  const found = tables.map((text) => database.reads.query<{ row: unknown }>(text, [key]));
  return (await Promise.all(found)).map(({ rows }) => rows);
}

for (const hard of [true, false]) {
  test(`a single row is stored as one among many is${hard ? ', whatever it holds' : ''}`, async (t) => {
    const database = await openTestDatabase(t);
    await write(database, writeOf(randomUUID(), 'alone', { hard }));
    const among = writeOf(randomUUID(), 'among', { hard });
    const other = writeOf(randomUUID(), 'other', { hard: !hard });
    await write(database, {
      ...among,
      postings: [...among.postings, ...other.postings],
      levels: [...among.levels, ...other.levels],
      records: [...other.records, ...among.records],
    });
    const alone = await stored(database, 'alone');
    assert.deepEqual(
      alone.map((rows) => (rows as unknown[]).length),
      [1, 1, 1, 1],
    );
    assert.deepEqual(alone, await stored(database, 'among'));
  });
}

test('a batch of one row of everything is written without arrays, and a larger one with them', async (t) => {
  const { pipeline, database } = await pipelineRig(t);
  const prepared = async () => {
    const { rows } = await database.writes.query<{ name: string }>(
      `SELECT name FROM pg_prepared_statements WHERE name LIKE 'write-batch%' ORDER BY name`,
    );
    return rows.map(({ name }) => name);
  };
  assert.equal(await fateOf(pipeline.submit(receipt('k1'))), '201');
  assert.deepEqual(await prepared(), ['write-batch-one']);
  const two = ['k2', 'k3'].map((key) => fateOf(pipeline.submit(receipt(key))));
  assert.deepEqual(await Promise.all(two), ['201', '201']);
  assert.deepEqual(await prepared(), ['write-batch-many', 'write-batch-one']);
});
