/**
 * One process of the history check: takes the lock over and over, writes down every instant at
 * which it was sure to hold it, and counts in PostgreSQL under the fence.
 *
 * Arguments: Redis port, history file, database URL, lease in ms.
 */
import { appendFileSync } from 'node:fs';
import pg from 'pg';
import { createClient } from 'redis';
import { checkFence, createLocks, type Lease, LockError, redisDriver } from '../index.ts';

const [port, file = '', database = '', leaseMs] = process.argv.slice(2);

const client = createClient({
  url: `redis://127.0.0.1:${port}`,
  socket: { reconnectStrategy: 20 },
});
client.on('error', () => {});
await client.connect();
const pool = new pg.Pool({ connectionString: database, max: 1 });
pool.on('error', () => {});
const locks = createLocks({
  driver: redisDriver(client),
  prefix: 'history',
  commandTimeoutMs: 200,
});

/** The same clock in every process of a machine. */
const clock = () => process.hrtime.bigint();

for (;;) {
  try {
    const lease = await locks.acquire(['counter'], { leaseMs: Number(leaseMs), waitMs: 3_000 });
    try {
      note(lease);
      await count(lease);
      const until = performance.now() + Math.random() * 10;
      while (performance.now() < until && note(lease)) await new Promise(setImmediate);
    } finally {
      void lease.release();
    }
  } catch (error) {
    // The faults make locks fail; anything else is a bug and ends this process.
    if (!(error instanceof LockError)) throw error;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Notes that the lease was held at an instant: taken before the check, so the check covers it. */
function note(lease: Lease): boolean {
  const at = clock();
  if (lease.remainingMs() === 0) return false;
  appendFileSync(file, `${lease.fencingToken} ${at}\n`);
  return true;
}

/** Reads and writes without a row lock, as only a holder may; the fence comes first. */
async function count(lease: Lease): Promise<void> {
  const transaction = await pool.connect();
  try {
    await transaction.query('BEGIN');
    await checkFence(transaction, lease);
    const { rows } = await transaction.query('SELECT value FROM counter');
    await transaction.query('UPDATE counter SET value = $1', [Number(rows[0].value) + 1]);
    await transaction.query('INSERT INTO increment (token) VALUES ($1)', [`${lease.fencingToken}`]);
    await transaction.query('COMMIT');
  } catch (error) {
    await transaction.query('ROLLBACK');
    throw error;
  } finally {
    transaction.release();
  }
}
