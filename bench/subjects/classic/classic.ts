import { readFileSync } from 'node:fs';
import path from 'node:path';
import { productCode, tenantName, world } from '../../load/load.ts';
import type { RedisServer } from '../../rig.ts';
import { openingUnits, withClient } from '../onhand.ts';
import { type Server, startServer } from '../server.ts';
import type { Checked } from '../subject.ts';

const folder = import.meta.dirname;

/** Makes the tables and the opening stock: the same levels that Onhand's subjects have. */
export async function seedClassic(databaseUrl: string): Promise<void> {
  const tenants = Array.from({ length: world.tenants }, (_, at) => tenantName(at + 1));
  const codes = Array.from({ length: world.products }, (_, at) => productCode(at + 1));
  const insert = `INSERT INTO levels (tenant, warehouse, product, on_hand)
    SELECT tenant, warehouse, product, $4 FROM unnest($1::text[]) AS tenant,
      unnest($2::text[]) AS warehouse, unnest($3::text[]) AS product`;
  await withClient(databaseUrl, async (client) => {
    await client.query(readFileSync(path.join(folder, 'schema.sql'), 'utf8'));
    await client.query(insert, [['demo'], ['W1', 'W2'], codes, openingUnits]);
    await client.query(insert, [tenants, ['W1'], codes.slice(0, world.tenantProducts), 0]);
    await client.query('ANALYZE');
  });
}

export function startClassic(databaseUrl: string, redis: RedisServer): Promise<Server> {
  return startServer(path.join(folder, 'server.ts'), {
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
  });
}

/** Whether every level is its opening stock and its movements. @throws when not */
export function checkClassic(databaseUrl: string): Promise<Checked> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ wrong: number; movements: number }>(
      `WITH ledger AS (
         SELECT tenant, warehouse, product, sum(on_hand_change) AS on_hand,
           sum(reserved_change) AS reserved, count(*) AS movements
         FROM movements GROUP BY 1, 2, 3)
       SELECT count(*) FILTER (WHERE l.reserved <> coalesce(m.reserved, 0) OR l.on_hand <>
           CASE WHEN tenant = 'demo' THEN $1::bigint ELSE 0 END + coalesce(m.on_hand, 0))::int
           AS wrong,
         coalesce(sum(m.movements), 0)::int AS movements
       FROM levels l LEFT JOIN ledger m USING (tenant, warehouse, product)`,
      [openingUnits],
    );
    const [found] = rows;
    if (found?.wrong !== 0) throw new Error(`${found?.wrong} levels differ from their movements`);
    return { movements: found.movements };
  });
}
