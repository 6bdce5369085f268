import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createTestDatabase, openTestPool } from '@onhand/fixtures';
import type pg from 'pg';
import { migrate } from './postgres/migrate.ts';
import { RedisServer } from './testing/redis-server.ts';

describe('a process that is killed', () => {
  let pool: pg.Pool;
  let database: string;
  let redis: RedisServer;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    ({ url: database } = await createTestDatabase({ after: (fn) => cleanups.push(fn) }));
    pool = openTestPool(
      { after: (cleanup) => cleanups.push(cleanup) },
      { connectionString: database, max: 2 },
    );
    await migrate((sql, params) => pool.query(sql, params));
    await pool.query('CREATE TABLE effects (key text NOT NULL)');
    redis = await RedisServer.start();
    cleanups.push(() => redis.stop());
  });
  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  async function startServer(crashAt: string) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'testing/crash-server.ts')], {
      env: { DATABASE_URL: database, REDIS_SOCKET: redis.socket, CRASH_AT: crashAt },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(child.stdout, 'data');
    return { child, url: `http://127.0.0.1:${/(\d+)/.exec(String(line))?.[1]}/` };
  }

  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async function post(url: string, key: string) {
    const headers = { 'idempotency-key': key, 'content-type': 'application/json' };
    const sent = await fetch(url, { method: 'POST', body: '{"a":1}', headers });
    const replayed = sent.headers.get('idempotent-replayed') === 'true';
    return { status: sent.status, text: await sent.text(), replayed };
  }

  async function effects(key: string): Promise<number> {
    const { rows } = await pool.query('SELECT FROM effects WHERE key = $1', [key]);
    return rows.length;
  }

  for (const [crashAt, replayed] of [
    ['before-effect', false],
    ['before-commit', false],
    ['before-answer', true],
    ['after-answer', true],
  ] as const) {
    test(`${crashAt}: the retry gives one effect and the first answer`, async () => {
      const key = crypto.randomUUID();
      const dying = await startServer(crashAt);
      let first: string | undefined;
      if (crashAt === 'after-answer') first = (await post(dying.url, key)).text;
      else await assert.rejects(post(dying.url, key));
      await kill(dying.child);
      const { child, url } = await startServer('never');
      try {
        const retry = await post(url, key);
        assert.deepEqual([retry.status, retry.replayed], [201, replayed]);
        if (first !== undefined) assert.equal(retry.text, first);
        const again = await post(url, key);
        assert.deepEqual([again.text, again.replayed], [retry.text, true]);
        assert.equal(await effects(key), 1);
      } finally {
        await kill(child);
      }
    });
  }
});
