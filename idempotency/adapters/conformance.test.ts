import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import type pg from 'pg';
import { runChecks, textReport } from '../../conformance/index.ts';
import type { RequestIdempotency } from '../http/protection.ts';
import { migrate } from '../postgres/migrate.ts';
import { ModelApp, type ModelReply, type StartServer } from '../testing/model-app.ts';
import * as frameworks from '../testing/servers.ts';

const body = { reference: 'PO-1', lines: [{ product: 'SKU-1', quantity: 5 }] };

/** Has its effect in a transaction, and fails where the body says so. */
class FailingApp extends ModelApp {
  private readonly failed = new Set<string>();

  override async handle(
    _path: string,
    sent: { fail?: 'before the commit' | 'after the commit' } | undefined,
    idempotency: RequestIdempotency,
  ): Promise<ModelReply> {
    const json = { run: ++this.runs };
    const headers = { location: `/things/${json.run}`, 'set-cookie': `run=${json.run}` };
    const client = await (this.pool as pg.Pool).connect();
    try {
      await client.query('BEGIN');
      await client.query('INSERT INTO effects (key) VALUES ($1)', [idempotency.key]);
      await idempotency.record(client, { status: 201, headers, body: json });
      const again = this.failed.has(idempotency.key);
      this.failed.add(idempotency.key);
      if (sent?.fail === 'before the commit' && !again) throw new Error('before the commit');
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
    if (sent?.fail === 'after the commit') throw new Error('after the commit');
    return { status: 201, headers, body: { json } };
  }
}

describe('every check, with the effect in the transaction of its record', () => {
  let pool: pg.Pool;
  let observe: string;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    const { url } = await createTestDatabase({ after: (cleanup) => cleanups.push(cleanup) });
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: url, max: 8 },
    );
    await migrate((sql, params) => pool.query(sql, params));
    await pool.query('CREATE TABLE effects (key text NOT NULL)');
    const observer = createServer(async (_req, res) => {
      const { rows } = await pool.query('SELECT count(*)::int AS n FROM effects');
      res.end(JSON.stringify(rows[0].n));
    });
    observer.listen(0, '127.0.0.1');
    await once(observer, 'listening');
    cleanups.push(() => observer.close());
    cleanups.push(() => observer.closeAllConnections());
    observe = `http://127.0.0.1:${(observer.address() as AddressInfo).port}/`;
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  for (const [name, start] of Object.entries(frameworks) as [string, StartServer][]) {
    for (const fail of ['before the commit', 'after the commit'] as const) {
      test(`${name} passes when a handler fails ${fail}`, async (t) => {
        const query = (sql: string, params: unknown[]) => pool.query(sql, params);
        const server = await start(new FailingApp(pool), { query });
        t.after(() => server.close());
        const results = await runChecks({
          url: `${server.url}/things`,
          otherUrl: `${server.url}/other`,
          body,
          failingBody: { ...body, fail },
          headers: [['Authorization', 'one']],
          secondCredential: ['Authorization', 'two'],
          binary: true,
          observe,
          rate: 5_000,
        });
        const others = results.filter((result) => result.verdict !== 'pass');
        const ids = others.map(({ check }) => check.id);
        assert.deepEqual(ids, [], textReport(results));
      });
    }
  }
});
