import { world } from './load/load.ts';
import { withClient } from './subjects/onhand.ts';

/** Steps of one statement: each adds one movement to every level. Bounds its memory and time. */
const stepsPerStatement = 500;
/** Movements of one posting: five levels of one step. */
const linesPerPosting = 5;

/**
 * Fills the ledger of `demo` in W1 with receipts of one unit, the same number for every product, in
 * SQL: through the API ten million would take the better part of an hour. The text that is hashed
 * is that of inventory/stock/chain.ts, so `verify` holds on the result.
 * @param movements rounded up to whole steps over all products
 */
export async function fillLedger(databaseUrl: string, movements: number): Promise<void> {
  const steps = Math.ceil(movements / world.products);
  await withClient(databaseUrl, async (client) => {
    await client.query("SET synchronous_commit = off; SET work_mem = '256MB'; SET jit = off");
    // The planner takes the recursion for a few rows and would read all of it once per level.
    await client.query('SET enable_nestloop = off');
    await client.query(openLevels);
    for (let from = 1; from <= steps; from += stepsPerStatement) {
      await client.query(addSteps, [from, Math.min(steps, from + stepsPerStatement - 1)]);
    }
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  });
}

const openLevels = `
  INSERT INTO levels (tenant_id, warehouse, product)
  SELECT tenant_id, 'W1', product FROM products WHERE tenant_id = 'demo'`;

// Times go back from today, a second a step. Ids are UUIDv7 of that time, so that they are as near
// to each other in the index as real ones: 48 bits of time, the version, the posting of the step,
// the variant, and the step.
const addSteps = `
  WITH RECURSIVE level AS (
    SELECT product, sequence, hash, (row_number() OVER (ORDER BY product) - 1)::int AS number
    FROM levels WHERE tenant_id = 'demo' AND warehouse = 'W1'
  ), chain AS (
    SELECT product, number, sequence, hash, NULL::uuid AS posting_id, NULL::timestamptz AS at
    FROM level
    UNION ALL
    SELECT c.product, c.number, c.sequence + 1, sha256(convert_to(concat_ws('|',
        encode(c.hash, 'hex'), 'demo', 'W1', c.product, c.sequence + 1, i.posting_id, 1, 0,
        c.sequence + 1, 0, '', (extract(epoch FROM t.at) * 1000)::bigint), 'UTF8')),
      i.posting_id, t.at
    FROM chain c
    CROSS JOIN LATERAL (
      SELECT date_trunc('day', now()) - interval '1 year' + (c.sequence + 1) * interval '1 second'
        AS at) t
    CROSS JOIN LATERAL (
      SELECT (lpad(to_hex((extract(epoch FROM t.at) * 1000)::bigint), 12, '0')
        || '7' || lpad(to_hex(c.number / ${linesPerPosting}), 3, '0')
        || '8' || lpad(to_hex(c.sequence + 1), 15, '0'))::uuid AS posting_id) i
    WHERE c.sequence + 1 <= $2
  ), added AS MATERIALIZED (
    SELECT * FROM chain WHERE sequence >= $1 AND posting_id IS NOT NULL
  ), posted AS (
    INSERT INTO postings (tenant_id, posting_id, type, reference, recorded_at)
    SELECT DISTINCT 'demo', posting_id, 'receipt', 'PO-1', at FROM added
  ), moved AS (
    INSERT INTO movements (tenant_id, warehouse, product, sequence, posting_id, position,
      on_hand_change, reserved_change, on_hand, reserved, recorded_at, hash)
    SELECT 'demo', 'W1', product, sequence, posting_id, number % ${linesPerPosting}, 1, 0, sequence,
      0, at, hash
    FROM added ORDER BY sequence, product
  )
  UPDATE levels l SET sequence = a.sequence, on_hand = a.sequence, hash = a.hash, recorded_at = a.at
  FROM added a
  WHERE l.tenant_id = 'demo' AND l.warehouse = 'W1' AND l.product = a.product
    AND a.sequence = $2`;
