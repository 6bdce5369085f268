import type pg from 'pg';
import { heldOnLevel } from './heldUnits.ts';

/** One thing that does not add up. */
export interface LedgerFault {
  readonly fault:
    | 'sequence-gap'
    | 'quantities-do-not-add-up'
    | 'hash-mismatch'
    | 'level-differs-from-ledger'
    | 'movement-without-level'
    | 'movement-without-posting'
    | 'reserved-differs-from-reservations';
  readonly warehouse: string;
  readonly product: string;
  /** The movement at which it shows; null for a fault of the level. */
  readonly sequence: number | null;
}

export interface LedgerReport {
  readonly valid: boolean;
  readonly levels: number;
  readonly movements: number;
  /**
   * At most `faultsMax`: those of movements, then those of levels, each by warehouse and product.
   */
  readonly faults: LedgerFault[];
}

/** Enough to see what is wrong; a broken ledger could have one fault per movement. */
const faultsMax = 100;
/** Rows of one statement: some 100 ms each, so that none comes near the statement time-out. */
const pageRows = 20_000;

/**
 * How long one statement may take: longer than one of a batch, for a page from a cold disk, or of
 * levels with very many holds.
 */
const statementTimeoutMs = 60_000;
/**
 * In place of the pool's, which is shorter. The server's limit comes first: it ends the work as
 * well.
 */
const queryTimeoutMs = statementTimeoutMs + 2_000;

interface Carry {
  warehouse: string;
  product: string;
  sequence: number;
  onHand: number;
  reserved: number;
  hash: string;
}

const start: Carry = {
  warehouse: '',
  product: '',
  sequence: 0,
  onHand: 0,
  reserved: 0,
  hash: '',
};

// The text that is hashed is that of stock/chain.ts, written a second time on purpose: the database
// recomputes what the service claims. Each row is checked against the row before it; the first row
// of a page against what the page before ended on.
const movementsPage = `
  WITH page AS (
    SELECT m.*, l.tenant_id IS NULL AS no_level, p.tenant_id IS NULL AS no_posting
    FROM (SELECT * FROM movements
          WHERE tenant_id = $1 AND (warehouse, product, sequence) > ($2, $3, $4)
          ORDER BY warehouse, product, sequence LIMIT ${pageRows}) m
    LEFT JOIN levels l ON l.tenant_id = $1 AND l.warehouse = m.warehouse
      AND l.product = m.product
    LEFT JOIN postings p ON p.tenant_id = $1 AND p.posting_id = m.posting_id
      AND p.recorded_at = m.recorded_at
  ), chained AS (
    SELECT page.*,
      coalesce(lag(page.sequence) OVER level, carry.sequence, 0) AS before_sequence,
      coalesce(lag(page.on_hand) OVER level, carry.on_hand, 0) AS before_on_hand,
      coalesce(lag(page.reserved) OVER level, carry.reserved, 0) AS before_reserved,
      coalesce(encode(lag(page.hash) OVER level, 'hex'), carry.hash, repeat('0', 64)) AS before_hash
    FROM page
    LEFT JOIN (SELECT $2::text AS warehouse, $3::text AS product, $4::bigint AS sequence,
                      $5::bigint AS on_hand, $6::bigint AS reserved, $7::text AS hash) carry
      USING (warehouse, product)
    WINDOW level AS (PARTITION BY page.warehouse, page.product ORDER BY page.sequence)
  ), checked AS (
    SELECT warehouse, product, sequence, on_hand, reserved, hash, CASE
      WHEN no_level THEN 'movement-without-level'
      WHEN no_posting THEN 'movement-without-posting'
      WHEN sequence <> before_sequence + 1 THEN 'sequence-gap'
      WHEN on_hand <> before_on_hand + on_hand_change
        OR reserved <> before_reserved + reserved_change THEN 'quantities-do-not-add-up'
      WHEN hash <> sha256(convert_to(concat_ws('|', before_hash, tenant_id, warehouse, product,
        sequence, posting_id, on_hand_change, reserved_change, on_hand, reserved,
        coalesce(unit_cost, ''), (extract(epoch FROM recorded_at) * 1000)::bigint), 'UTF8'))
        THEN 'hash-mismatch' END AS fault
    FROM chained
  )
  SELECT (SELECT count(*) FROM checked) AS rows,
    (SELECT json_agg(f) FROM (
       SELECT fault, warehouse, product, sequence FROM checked WHERE fault IS NOT NULL
       ORDER BY warehouse, product, sequence LIMIT ${faultsMax}) f) AS faults,
    (SELECT json_build_object('warehouse', warehouse, 'product', product, 'sequence', sequence,
              'onHand', on_hand, 'reserved', reserved, 'hash', encode(hash, 'hex'))
     FROM checked ORDER BY warehouse DESC, product DESC, sequence DESC LIMIT 1) AS last`;

// A level is right when its last movement left exactly this, and when the reservations hold what it
// says is reserved.
const levelsPage = `
  WITH page AS (
    SELECT * FROM levels
    WHERE tenant_id = $1 AND (warehouse, product) > ($2, $3)
    ORDER BY warehouse, product LIMIT ${pageRows}
  ), checked AS (
    SELECT l.warehouse, l.product, CASE
      WHEN l.sequence <> coalesce(m.sequence, 0) OR l.on_hand <> coalesce(m.on_hand, 0)
        OR l.reserved <> coalesce(m.reserved, 0)
        OR l.hash <> coalesce(m.hash, decode(repeat('00', 32), 'hex'))
        THEN 'level-differs-from-ledger'
      WHEN l.reserved <> ${heldOnLevel()} THEN 'reserved-differs-from-reservations'
      END AS fault
    FROM page l
    LEFT JOIN LATERAL (
      SELECT * FROM movements m
      WHERE m.tenant_id = $1 AND m.warehouse = l.warehouse AND m.product = l.product
      ORDER BY m.sequence DESC LIMIT 1) m ON true
  )
  SELECT (SELECT count(*) FROM checked) AS rows,
    (SELECT json_agg(f) FROM (
       SELECT fault, warehouse, product, null AS sequence FROM checked WHERE fault IS NOT NULL
       ORDER BY warehouse, product LIMIT ${faultsMax}) f) AS faults,
    (SELECT json_build_object('warehouse', warehouse, 'product', product)
     FROM checked ORDER BY warehouse DESC, product DESC LIMIT 1) AS last`;

interface Page<Last> {
  rows: number;
  faults: LedgerFault[] | null;
  last: Last | null;
}

/**
 * Proves a tenant's ledger, in one snapshot: every level is the sum of its movements, sequences
 * have no gap, the hash chain holds, every movement has its posting, and reservations hold what is
 * reserved.
 *
 * Reads page by page, so that its memory does not grow with the ledger. Costs some 5 µs a movement.
 * @param checkWanted called before each page and before a connection is taken; what it throws ends
 *   the proof
 */
export async function verifyLedger(
  pool: pg.Pool,
  tenant: string,
  checkWanted = () => {},
): Promise<LedgerReport> {
  checkWanted();
  const client = await pool.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(`SET LOCAL statement_timeout = ${statementTimeoutMs}`);
    const report = await readReport({ client, checkWanted }, tenant);
    await client.query('COMMIT');
    client.release();
    return report;
  } catch (error) {
    client.release(error instanceof Error ? error : true);
    throw error;
  }
}

interface Snapshot {
  readonly client: pg.PoolClient;
  readonly checkWanted: () => void;
}

async function readReport(snapshot: Snapshot, tenant: string): Promise<LedgerReport> {
  const faults: LedgerFault[] = [];
  const movements = await walk<Carry>(snapshot, movementsPage, start, faults, (last) => [
    tenant,
    last.warehouse,
    last.product,
    last.sequence,
    last.onHand,
    last.reserved,
    last.hash,
  ]);
  const levels = await walk<Pick<Carry, 'warehouse' | 'product'>>(
    snapshot,
    levelsPage,
    start,
    faults,
    (last) => [tenant, last.warehouse, last.product],
  );
  return { valid: faults.length === 0, levels, movements, faults: faults.slice(0, faultsMax) };
}

/** Goes through all pages of a statement. @returns how many rows there were */
async function walk<Last>(
  { client, checkWanted }: Snapshot,
  text: string,
  first: Last,
  faults: LedgerFault[],
  values: (last: Last) => unknown[],
): Promise<number> {
  let last = first;
  for (let total = 0; ; ) {
    checkWanted();
    // `pg` takes the time-out of one statement, but its types do not know it.
    const query = { text, values: values(last), query_timeout: queryTimeoutMs } as pg.QueryConfig;
    const { rows } = await client.query<Page<Last>>(query);
    const page = rows[0] as Page<Last>;
    total += page.rows;
    if (faults.length < faultsMax) faults.push(...(page.faults ?? []));
    if (page.rows < pageRows || page.last === null) return total;
    last = page.last;
  }
}
