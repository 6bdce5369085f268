import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTestDatabase } from '@onhand/fixtures';
import { migrate as migratePackage } from '@onhand/idempotency/postgres';
import type pg from 'pg';
import { openSession } from '../testing/pipelineRig.ts';
import { migrate } from './migrate.ts';

/**
 * All that the catalogs say of the table, as text: what it is and how it is stored, and its
 * columns, constraints, indexes, triggers and rules.
 */
const description = `
  WITH t AS (SELECT * FROM pg_class WHERE oid = 'idempotency_records'::regclass)
  SELECT format('%s %s %s %s', relkind, relpersistence, relrowsecurity, reloptions) AS line FROM t
  UNION ALL
  SELECT format('column %s %I %s collate %s null %s default %s generated %s%s storage %s',
                attnum, attname, format_type(atttypid, atttypmod), attcollation::regcollation,
                NOT attnotnull, pg_get_expr(adbin, adrelid), attidentity, attgenerated, attstorage)
  FROM pg_attribute JOIN t ON attrelid = t.oid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT format('constraint %I %s', conname, pg_get_constraintdef(c.oid))
  FROM pg_constraint c JOIN t ON conrelid = t.oid
  UNION ALL
  SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN t ON indrelid = t.oid
  UNION ALL
  SELECT pg_get_triggerdef(g.oid) FROM pg_trigger g JOIN t ON tgrelid = t.oid
  UNION ALL
  SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN t ON ev_class = t.oid
  ORDER BY 1`;

/** @param create makes the table in an empty database */
async function describeTable(
  t: TestContext,
  create: (session: pg.Client, url: string) => Promise<unknown>,
): Promise<string[]> {
  const { url } = await createTestDatabase(t);
  const session = await openSession(t, url);
  await create(session, url);
  const { rows } = await session.query<{ line: string }>(description);
  return rows.map(({ line }) => line);
}

test('the table of records is the same in the service as in the package', async (t) => {
  const ofService = await describeTable(t, (_session, url) => migrate(url));
  const ofPackage = await describeTable(t, (session) =>
    migratePackage((sql, params) => session.query(sql, params)),
  );
  assert.deepEqual(ofService, ofPackage);
  // The text says what it should: eight columns, and what else a caller rests on.
  const count = (start: RegExp) => ofService.filter((line) => start.test(line)).length;
  assert.equal(count(/^column /), 8);
  assert.equal(count(/^constraint .* (CHECK|PRIMARY KEY) /), 3);
  assert.equal(count(/^CREATE (UNIQUE )?INDEX /), 2);
});
