import { after, before, describe } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import type pg from 'pg';
import { migrate } from '../postgres/migrate.ts';
import { adapterSuite } from '../testing/adapter-suite.ts';
import {
  expressServer,
  fastifyServer,
  honoServer,
  nestOnExpress,
  nestOnFastify,
  nodeServer,
} from '../testing/servers.ts';

describe('adapters', () => {
  let pool: pg.Pool;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const { url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) });
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: url, max: 8 },
    );
    await migrate((sql, params) => pool.query(sql, params));
    await pool.query('CREATE TABLE effects (key text NOT NULL)');
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  const database = () => pool;
  adapterSuite('node:http', nodeServer, database);
  adapterSuite('Express', expressServer, database);
  adapterSuite('Fastify', fastifyServer, database);
  adapterSuite('Hono', honoServer, database);
  adapterSuite('NestJS on Express', nestOnExpress, database);
  adapterSuite('NestJS on Fastify', nestOnFastify, database);
});
