import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Writable } from 'node:stream';
import { type Cleanup, createTestDatabase, startTestRedis, type TestRedis } from '@onhand/fixtures';
import pg from 'pg';
import { pino } from 'pino';
import { ensureApiKey } from '../../postgres/apiKeys.ts';
import { migrate } from '../../postgres/migrate.ts';
import { createService, type Service } from '../../service.ts';
import { readSettings, type Settings } from '../../settings.ts';
import { type Role, sha256 } from '../authentication.ts';
import { Caller } from './caller.ts';

/** The whole service in this process, on a database and a Redis of its own, listening. */
export interface TestApi {
  readonly url: string;
  readonly databaseUrl: string;
  readonly redis: TestRedis;
  readonly service: Service;
  /** A caller without an API key. */
  readonly anonymous: Caller;
  /** Everything it logged so far, at the finest level. */
  logs(): string;
  /** A tenant of one test's own, with a key for each role. */
  tenant(): Promise<Tenant>;
  /** A database session beside the service's; it ends with the test. */
  session(cleanup: Cleanup): Promise<pg.Client>;
  /** A second service on the same database and Redis. */
  another(cleanup: Cleanup, settings: Partial<Settings>): Promise<Caller>;
}

export interface Tenant {
  readonly id: string;
  readonly reader: Caller;
  readonly writer: Caller;
  readonly admin: Caller;
}

export async function startApi(
  cleanup: Cleanup,
  settings: Partial<Settings> = {},
): Promise<TestApi> {
  const [{ url: databaseUrl }, redis] = await Promise.all([
    createTestDatabase(cleanup),
    startTestRedis(cleanup),
  ]);
  await migrate(databaseUrl);
  const backing = { databaseUrl, redisUrl: redis.url };
  const { service, url, logs } = await listen(cleanup, backing, settings);
  return {
    url,
    databaseUrl,
    redis,
    service,
    logs,
    anonymous: new Caller(url, undefined),
    tenant: () => newTenant(service, url),
    session: async (owner) => {
      const client = new pg.Client({ connectionString: databaseUrl });
      await client.connect();
      owner.after(() => client.end());
      return client;
    },
    another: async (owner, others) => {
      const { url: at } = await listen(owner, backing, { ...settings, ...others });
      return new Caller(at, undefined);
    },
  };
}

/** A service that was only told where its servers are; they need not answer. */
export async function listen(
  cleanup: Cleanup,
  backing: { databaseUrl: string; redisUrl: string | undefined },
  settings: Partial<Settings>,
): Promise<{ service: Service; url: string; logs: () => string }> {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const logger = pino({ level: 'trace', redact: ['req.headers.authorization'] }, sink);
  const service = await createService({ ...readSettings({}), ...settings }, backing, logger);
  cleanup.after(() => service.stop());
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 });
  return { service, url, logs: () => lines.join('') };
}

async function newTenant(service: Service, url: string): Promise<Tenant> {
  const id = `t-${randomUUID()}`;
  const caller = async (role: Role) => {
    const secret = `secret-${randomUUID()}`;
    const row = { tenant: id, role, name: role };
    await ensureApiKey(service.database.writes, row, sha256(secret));
    return new Caller(url, secret);
  };
  const [reader, writer, admin] = [
    await caller('reader'),
    await caller('writer'),
    await caller('admin'),
  ];
  return { id, reader, writer, admin };
}

/** Registers warehouses W1 and W2 and the products named, and receives 10 of each in W1. */
export async function stock(writer: Caller, ...products: string[]): Promise<void> {
  for (const warehouse of ['W1', 'W2']) await writer.put(`/v1/warehouses/${warehouse}`);
  for (const product of products) await writer.put(`/v1/products/${product}`);
  if (products.length === 0) return;
  const lines = products.map((product) => ({ product, quantity: 10 }));
  const { status } = await writer.post('/v1/receipts', { warehouse: 'W1', lines });
  assert.equal(status, 201);
}
