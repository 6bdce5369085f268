import { readFileSync } from 'node:fs';
import path from 'node:path';
import { productCode, tenantName, world } from '../../load/load.ts';
import type { RedisServer } from '../../rig.ts';
import { checkLevels } from '../checkLevels.ts';
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

export function checkClassic(databaseUrl: string): Promise<Checked> {
  return checkLevels(databaseUrl, { tenant: 'tenant' });
}
