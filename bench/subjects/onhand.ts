import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import pg from 'pg';
import { startOptions } from '../../fixtures/startOptions.ts';
import { sha256 } from '../../inventory/http/authentication.ts';
import { productCode, replayed, tenantName, world } from '../load/load.ts';
import type { RedisServer } from '../rig.ts';
import { type Server, startServer } from './server.ts';
import type { Checked } from './subject.ts';

const MAIN = path.resolve(import.meta.dirname, '..', '..', 'inventory', 'main.ts');

/** Units in stock before the load, which takes one at a time. */
export const openingUnits = 1_000_000_000;

const apiKey = `${world.secret}demo`;

/**
 * Starts inventory/main.ts as `npm start` does, with its default settings.
 * @param redis none = claims in memory
 */
export function startOnhand(databaseUrl: string, redis?: RedisServer): Promise<Server> {
  const env = {
    PORT: '0',
    LOG_LEVEL: 'error',
    ONHAND_API_KEY: apiKey,
    DATABASE_URL: databaseUrl,
    // With an empty PATH it finds no Redis to run as a child.
    PATH: '',
    ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
  };
  return startServer(MAIN, env, startOptions());
}

/** Catalogue, tenants and keys through SQL, for there are tens of thousands. */
export async function seedCatalogue(databaseUrl: string): Promise<void> {
  const names = Array.from({ length: world.tenants }, (_, at) => tenantName(at + 1));
  const hashes = names.map((name) => sha256(`${world.secret}${name}`));
  await withClient(databaseUrl, async (client) => {
    await client.query(`INSERT INTO tenants (tenant_id) SELECT unnest($1::text[])`, [names]);
    await client.query(
      `INSERT INTO api_keys (tenant_id, role, name, secret_sha256)
       SELECT name, 'writer', 'bench', decode(hash, 'hex')
       FROM unnest($1::text[], $2::text[]) AS key (name, hash)`,
      [names, hashes],
    );
    const all = ['demo', ...names];
    await client.query(
      `INSERT INTO warehouses (tenant_id, warehouse)
       SELECT tenant, warehouse FROM unnest($1::text[]) AS tenant, unnest($2::text[]) AS warehouse`,
      [all, ['W1', 'W2']],
    );
    const codes = Array.from({ length: world.products }, (_, at) => productCode(at + 1));
    await insertProducts(client, ['demo'], codes);
    const few = codes.slice(0, world.tenantProducts);
    await insertProducts(client, names, few);
    // Empty levels, as the classic design has them: making them is not what is measured.
    await client.query(
      `INSERT INTO levels (tenant_id, warehouse, product)
       SELECT tenant, 'W1', product FROM unnest($1::text[]) AS tenant, unnest($2::text[]) AS product`,
      [names, few],
    );
    await client.query('ANALYZE');
  });
}

async function insertProducts(client: pg.Client, tenants: string[], codes: string[]) {
  await client.query(
    `INSERT INTO products (tenant_id, product)
     SELECT tenant, product FROM unnest($1::text[]) AS tenant, unnest($2::text[]) AS product`,
    [tenants, codes],
  );
}

/** Receives the opening stock of `demo` through the API, one posting per warehouse. */
export async function receiveStock({ url }: Server): Promise<void> {
  const lines = Array.from({ length: world.products }, (_, at) => ({
    product: productCode(at + 1),
    quantity: openingUnits,
  }));
  for (const warehouse of ['W1', 'W2']) {
    await send(url, '/v1/receipts', `opening-${warehouse}`, JSON.stringify({ warehouse, lines }));
  }
}

/** Sends the requests that a replay will repeat, so that they are all known. */
export async function sendReplayed(url: string): Promise<void> {
  const keys = Array.from({ length: world.replays }, (_, at) => replayed(at + 1));
  const width = 50;
  for (let at = 0; at < keys.length; at += width) {
    const some = keys.slice(at, at + width);
    await Promise.all(some.map(({ key, body }) => send(url, '/v1/receipts', key, body)));
  }
}

async function send(url: string, path: string, key: string, body: string): Promise<void> {
  const answer = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body,
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${path} answered ${answer.status}: ${text}`);
}

/**
 * Asks the service to prove the ledger of `demo`, and waits for as long as that takes.
 * @throws when it finds a fault
 */
export async function verify({ url }: Server): Promise<Checked> {
  // fetch gives up after five minutes without a header, and ten million movements may take longer.
  const asked = http.get(`${url}/v1/verify`, { headers: { authorization: `Bearer ${apiKey}` } });
  const [answer] = (await once(asked, 'response')) as [http.IncomingMessage];
  const report = (await json(answer)) as { valid: boolean; movements: number; faults: unknown[] };
  if (answer.statusCode !== 200 || !report.valid) {
    throw new Error(`the ledger does not verify: ${JSON.stringify(report).slice(0, 500)}`);
  }
  return { movements: report.movements };
}

export async function withClient<T>(
  url: string,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
