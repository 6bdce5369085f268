import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '@onhand/fixtures';
import pg from 'pg';
import { startApi, stock, type Tenant } from '../http/testing/api.ts';
import { waitingSessions } from '../testing/pipelineRig.ts';
import { verifyLedger } from './verifyLedger.ts';

const api = await startApi({ after });

/** W1 P: three movements, one of them reserving; W1 Q: one. */
async function ledger(t: TestContext): Promise<Tenant & { session: pg.Client }> {
  const tenant = await api.tenant();
  await stock(tenant.writer, 'P', 'Q');
  const lines = [{ product: 'P', quantity: 3 }];
  await tenant.writer.did('/v1/shipments', { warehouse: 'W1', lines });
  await tenant.writer.did('/v1/reservations', { warehouse: 'W1', lines, ttlSeconds: 600 });
  const session = await api.session(t);
  return { ...tenant, session };
}

for (const table of ['movements', 'postings']) {
  for (const statement of [
    `UPDATE ${table} SET recorded_at = recorded_at`,
    `DELETE FROM ${table} WHERE false`,
    `DELETE FROM ${table}`,
    `TRUNCATE ${table}`,
    `TRUNCATE ${table} CASCADE`,
  ]) {
    test(`the database itself refuses ${statement}`, async (t) => {
      const { session, admin } = await ledger(t);
      await assert.rejects(session.query(statement), {
        code: '23001',
        message: new RegExp(`append-only: (UPDATE|DELETE|TRUNCATE) on ${table} is refused`),
      });
      assert.equal((await admin.get('/v1/movements')).body.items.length, 4);
    });
  }
}

test('the database refuses a level that is oversold, and a movement number taken twice', async (t) => {
  const { session, id } = await ledger(t);
  for (const change of ['on_hand = -1', 'reserved = on_hand + 1', 'reserved = -1']) {
    const text = `UPDATE levels SET ${change} WHERE tenant_id = $1`;
    await assert.rejects(session.query(text, [id]), { code: '23514' });
  }
  const again = `INSERT INTO movements SELECT * FROM movements WHERE tenant_id = $1 LIMIT 1`;
  await assert.rejects(session.query(again, [id]), { code: '23505' });
});

type Tampering = [what: string, sql: string, fault: string, sequence: number | null];

const movement = (set: string, sequence: number) =>
  `UPDATE movements SET ${set} WHERE tenant_id = $1 AND product = 'P' AND sequence = ${sequence}`;

const tampering: Tampering[] = [
  ['a changed quantity', movement('on_hand = on_hand + 1', 2), 'quantities-do-not-add-up', 2],
  ['a changed change', movement('on_hand_change = -2', 2), 'quantities-do-not-add-up', 2],
  ['changed reserved units', movement('reserved = 4', 3), 'quantities-do-not-add-up', 3],
  [
    'a change and its quantity, both consistent',
    movement('on_hand_change = on_hand_change - 1, on_hand = on_hand - 1', 2),
    'hash-mismatch',
    2,
  ],
  ['a changed hash', movement(`hash = sha256('x')`, 3), 'hash-mismatch', 3],
  ['an added cost', movement(`unit_cost = '1'`, 1), 'hash-mismatch', 1],
  [
    'another posting',
    movement(
      `posting_id = (SELECT posting_id FROM movements
                     WHERE tenant_id = $1 AND product = 'P' AND sequence = 1)`,
      2,
    ),
    'movement-without-posting',
    2,
  ],
  [
    'another time',
    movement(`recorded_at = recorded_at - interval '1 s'`, 2),
    'movement-without-posting',
    2,
  ],
  [
    'a movement removed from the middle',
    `DELETE FROM movements WHERE tenant_id = $1 AND product = 'P' AND sequence = 2`,
    'sequence-gap',
    3,
  ],
  [
    'the last movement removed',
    `DELETE FROM movements WHERE tenant_id = $1 AND product = 'P' AND sequence = 3`,
    'level-differs-from-ledger',
    null,
  ],
  [
    'all movements of a level removed',
    `DELETE FROM movements WHERE tenant_id = $1 AND product = 'P'`,
    'level-differs-from-ledger',
    null,
  ],
  [
    'a posting removed',
    `DELETE FROM postings WHERE tenant_id = $1 AND type = 'shipment'`,
    'movement-without-posting',
    2,
  ],
  [
    'a changed level',
    `UPDATE levels SET on_hand = on_hand + 5 WHERE tenant_id = $1 AND product = 'P'`,
    'level-differs-from-ledger',
    null,
  ],
  [
    'a level removed',
    `DELETE FROM levels WHERE tenant_id = $1 AND product = 'P'`,
    'movement-without-level',
    1,
  ],
  [
    'a hold that no reservation has',
    `UPDATE reservation_lines SET released = 1 WHERE tenant_id = $1`,
    'reserved-differs-from-reservations',
    null,
  ],
  [
    'a reservation removed',
    `DELETE FROM reservation_lines WHERE tenant_id = $1`,
    'reserved-differs-from-reservations',
    null,
  ],
];

for (const [what, sql, fault, sequence] of tampering) {
  test(`verify finds ${what}`, async (t) => {
    const { session, admin, id } = await ledger(t);
    const other = await ledger(t);
    // As a superuser who goes around the triggers.
    await session.query('SET session_replication_role = replica');
    const { rowCount } = await session.query(sql, [id]);
    assert.ok((rowCount ?? 0) > 0, 'something was tampered with');
    const { body, status } = await admin.get('/v1/verify');
    const { valid, faults } = body as unknown as { valid: boolean; faults: unknown[] };
    assert.deepEqual([status, valid], [200, false]);
    assert.deepEqual(faults[0], { fault, warehouse: 'W1', product: 'P', sequence });
    assert.ok(faults.every((each) => (each as { product: string }).product === 'P'));
    const { body: sound } = await other.admin.get('/v1/verify');
    assert.equal((sound as unknown as { valid: boolean }).valid, true);
  });
}

test('verify lists at most 100 faults and still says how much it saw', async (t) => {
  const { session, admin, writer, id } = await ledger(t);
  const commands = Array.from({ length: 150 }, (_, i) => ({
    type: 'receipt',
    idempotencyKey: `k${i}`,
    warehouse: 'W1',
    lines: [{ product: 'Q', quantity: 1 }],
  }));
  await writer.send('POST', '/v1/batches', { body: { commands } });
  await session.query('SET session_replication_role = replica');
  await session.query(`UPDATE movements SET hash = sha256('x') WHERE tenant_id = $1`, [id]);
  const { body } = await admin.get('/v1/verify');
  const { valid, movements, faults } = body as unknown as {
    valid: boolean;
    movements: unknown;
    faults: unknown[];
  };
  assert.deepEqual([valid, movements, faults.length], [false, 154, 100]);
});

test('a statement of verify may take longer than the pool waits for others', async (t) => {
  const { session, id } = await ledger(t);
  const waitMs = 500;
  const pool = new pg.Pool({
    connectionString: api.databaseUrl,
    query_timeout: waitMs,
    application_name: 'onhand',
  });
  t.after(() => pool.end());
  await session.query('BEGIN; LOCK TABLE reservation_lines IN ACCESS EXCLUSIVE MODE');
  const proof = verifyLedger(pool, id);
  await waitFor('verify waits for the lock', async () => (await waitingSessions(session)) === 1);
  await Promise.race([delay(2 * waitMs), proof]);
  await session.query('COMMIT');
  assert.equal((await proof).valid, true);
});
