import path from 'node:path';
import { productCode, world } from '../../load/load.ts';
import type { RedisServer } from '../../rig.ts';
import { openingUnits, withClient } from '../onhand.ts';
import { type Server, startServer } from '../server.ts';
import type { Checked } from '../subject.ts';

const products = Array.from({ length: world.products }, (_, at) => productCode(at + 1));

/** Onhand's tables, migrated, get the opening stock that its subject receives. */
export function seedFloor(databaseUrl: string): Promise<unknown> {
  return withClient(databaseUrl, (client) =>
    client.query(
      `INSERT INTO levels (tenant_id, warehouse, product, on_hand)
       SELECT 'demo', 'W1', product, $2 FROM unnest($1::text[]) AS product`,
      [products, openingUnits],
    ),
  );
}

export function startFloor(databaseUrl: string, redis: RedisServer): Promise<Server> {
  return startServer(path.join(import.meta.dirname, 'server.ts'), {
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
  });
}

/** Whether every level is its opening stock and its movements. @throws when not */
export function checkFloor(databaseUrl: string): Promise<Checked> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ wrong: number; movements: number }>(
      `WITH ledger AS (
         SELECT tenant_id, warehouse, product, sum(on_hand_change) AS on_hand, count(*) AS movements
         FROM movements GROUP BY 1, 2, 3)
       SELECT count(*) FILTER (WHERE l.sequence <> coalesce(m.movements, 0) OR l.on_hand <>
           CASE WHEN tenant_id = 'demo' THEN $1::bigint ELSE 0 END + coalesce(m.on_hand, 0))::int
           AS wrong,
         coalesce(sum(m.movements), 0)::int AS movements
       FROM levels l LEFT JOIN ledger m USING (tenant_id, warehouse, product)`,
      [openingUnits],
    );
    const [found] = rows;
    if (found?.wrong !== 0) throw new Error(`${found?.wrong} levels differ from their movements`);
    return { movements: found.movements };
  });
}
