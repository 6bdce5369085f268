import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../supervisor/cluster.ts';

const pauseMs = 50;

/**
 * Cancels what the sessions of the services run, or ends them, again and again until it is healed.
 * @returns how to heal it; undefined when there was no session, or no primary
 */
export async function cancelSessions(
  cluster: Cluster,
  how: 'cancel' | 'terminate',
): Promise<(() => Promise<void>) | undefined> {
  const strike = async () => {
    const rows = await cluster.postgres.primary.query(
      `SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = 'onhand'`,
    );
    return rows.length;
  };
  const none = () => 0;
  if ((await strike().catch(none)) === 0) return undefined;
  let isOver = false;
  const striking = (async () => {
    while (!isOver) {
      await delay(pauseMs);
      // Another fault may have taken the primary.
      await strike().catch(none);
    }
  })();
  return async () => {
    isOver = true;
    await striking;
  };
}
