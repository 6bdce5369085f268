import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import type pg from 'pg';
import type { Claim } from '../claims/claim-store.ts';
import { claimOf, leaseMs, newKey, newOwner, record } from '../testing/claim-store-suite.ts';
import { postgresClaims } from './claims.ts';
import { migrate } from './migrate.ts';

describe('claims in PostgreSQL', () => {
  const cleanups: (() => unknown)[] = [];
  let pool: pg.Pool;
  const query = (sql: string, params: unknown[]) => pool.query(sql, params);
  before(async () => {
    const { url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) });
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: url, max: 4 },
    );
    await migrate(query, { claims: true });
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  /** A key whose answer was damaged after it was stored. */
  async function damaged(): Promise<Claim> {
    const claim = claimOf(newKey());
    const store = postgresClaims(query);
    await store.claim(claim, leaseMs);
    await store.complete(claim, record, leaseMs);
    await query(`UPDATE idempotency_claims SET answer = 'ik9r' WHERE key = $1`, [claim.key]);
    return { ...claim, owner: newOwner() };
  }

  test('a stored answer that cannot be read does not block its key where records decide', async () => {
    const claim = await damaged();
    const store = postgresClaims(query);
    assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
    assert.equal(await store.complete(claim, record, leaseMs), true);
    assert.deepEqual(await store.peek(claim.scope, claim.key), { state: 'completed', record });
  });

  test('a stored answer that cannot be read is never run again where it is the only memory', async () => {
    const claim = await damaged();
    const store = postgresClaims(query);
    store.keepUntilExpiry?.();
    await assert.rejects(store.claim(claim, leaseMs), /cannot be read.* until it expires/);
    await assert.rejects(store.claim(claim, leaseMs), /cannot be read.* until it expires/);
    await query(`UPDATE idempotency_claims SET lease_until = now() WHERE key = $1`, [claim.key]);
    assert.deepEqual(await store.claim(claim, leaseMs), { state: 'claimed' });
  });

  test('an answer that replaced the unreadable one is not discarded', async () => {
    const claim = await damaged();
    const store = postgresClaims(async (sql, params) => {
      // Between the look at the damaged answer and its removal another process completes the key.
      if (sql.includes('DELETE')) {
        const other = postgresClaims(query);
        const quick = { ...claim, owner: newOwner() };
        await query(`DELETE FROM idempotency_claims WHERE key = $1`, [claim.key]);
        await other.claim(quick, leaseMs);
        await other.complete(quick, record, leaseMs);
      }
      return query(sql, params);
    });
    assert.deepEqual(await store.claim(claim, leaseMs), { state: 'completed', record });
  });

  test('renewing tells of what it can when one of its statements fails, and fails with all', async () => {
    let fails = (_params: unknown[]) => false;
    const store = postgresClaims(async (sql, params) => {
      if (fails(params)) throw new Error('canceling statement due to statement timeout');
      return query(sql, params);
    });
    // One more than goes in one statement.
    const claims = Array.from({ length: 501 }, () => claimOf(newKey()));
    await Promise.all(claims.map((claim) => store.claim(claim, 60_000)));
    fails = ([scopes]) => (scopes as string[]).length === 500;
    const held = await store.renew(claims, 60_000);
    assert.deepEqual(held, [...Array.from({ length: 500 }, () => undefined), true]);
    fails = () => true;
    await assert.rejects(store.renew(claims, 60_000), /statement timeout/);
  });

  test('the table can be made a logged one, which a crash leaves as it is', async () => {
    const claim = claimOf(newKey());
    const store = postgresClaims(query);
    await store.claim(claim, leaseMs);
    await query('ALTER TABLE idempotency_claims SET LOGGED', []);
    await migrate(query, { claims: true });
    const { rows } = await query(
      `SELECT relpersistence FROM pg_class WHERE relname = 'idempotency_claims'`,
      [],
    );
    assert.equal(rows[0].relpersistence, 'p');
    assert.equal(await store.complete(claim, record, leaseMs), true);
  });
});
