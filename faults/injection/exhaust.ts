import pg from 'pg';
import type { Cluster } from '../supervisor/cluster.ts';
import { connectionsMax } from '../supervisor/postgres.ts';

/**
 * Takes every connection that PostgreSQL has left, and, by closing those of the services, theirs as
 * they come back.
 */
export async function exhaustConnections(
  cluster: Cluster,
): Promise<(() => Promise<void>) | undefined> {
  const { port } = cluster.postgres.link;
  const hogs: pg.Client[] = [];
  const hog = async () => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port,
      user: 'onhand',
      database: 'onhand',
      connectionTimeoutMillis: 2_000,
    });
    client.on('error', () => {});
    await client.connect();
    hogs.push(client);
  };
  await Promise.all(Array.from({ length: connectionsMax }, () => hog().catch(() => {})));
  if (hogs.length === 0) return undefined;
  for (const { postgres } of cluster.services) postgres.cut();
  await Promise.all(Array.from({ length: connectionsMax }, () => hog().catch(() => {})));
  return async () => {
    await Promise.all(hogs.map((client) => client.end().catch(() => {})));
  };
}
