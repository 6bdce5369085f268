import path from 'node:path';
import { startOptions } from '../../../fixtures/startOptions.ts';
import { productCode, world } from '../../load/load.ts';
import type { RedisServer } from '../../rig.ts';
import { checkLevels } from '../checkLevels.ts';
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

/** @param redis for the claims; none without it */
export function startFloor(databaseUrl: string, redis?: RedisServer): Promise<Server> {
  const env = { DATABASE_URL: databaseUrl, ...(redis && { REDIS_URL: redis.url }) };
  return startServer(path.join(import.meta.dirname, 'server.ts'), env, startOptions());
}

export function checkFloor(databaseUrl: string): Promise<Checked> {
  const wrong = 'l.sequence <> coalesce(m.movements, 0)';
  return checkLevels(databaseUrl, { tenant: 'tenant_id', wrong });
}
