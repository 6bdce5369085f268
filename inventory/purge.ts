import { setTimeout as delay } from 'node:timers/promises';
import { deleteExpiredRecords } from '@onhand/idempotency/postgres';
import type pg from 'pg';
import { failureOf } from './postgres/failures.ts';

/** How often records that have outlived their retention are looked for. */
const purgeEveryMs = 60_000;
/** Rows of one statement: some 10 ms, so that nobody waits for the purge. */
const chunkRows = 1_000;

/**
 * Deletes expired idempotency records in the background, in short statements.
 *
 * A tenant whose records cannot be deleted is reported and left for the next round; a database out
 * of reach ends the round.
 */
export function startPurge(
  pool: pg.Pool,
  onError: (error: unknown) => void,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await purge(pool, stopping.signal, onError);
      } catch (error) {
        onError(error);
      }
      // Rejects when the service stops, which ends the loop.
      await delay(purgeEveryMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
    }
  })();
  return {
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

async function purge(
  pool: pg.Pool,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  const query = (text: string, values: unknown[]) => pool.query(text, values);
  const { rows } = await pool.query<{ tenant_id: string }>('SELECT tenant_id FROM tenants');
  for (const { tenant_id: tenant } of rows) {
    try {
      let deleted = chunkRows;
      while (deleted === chunkRows && !signal.aborted) {
        deleted = await deleteExpiredRecords(query, tenant, chunkRows);
      }
    } catch (error) {
      if (failureOf(error) === 'unreachable') throw error;
      onError(error);
    }
  }
}
