import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import type pg from 'pg';
import { ModelApp, type StartServer, type TestServer } from './model-app.ts';

type Options = Parameters<StartServer>[1];

interface Sent {
  status: number;
  headers: Headers;
  body: Buffer;
  replayed: boolean;
}

/** What every adapter must do, over real connections. */
export function adapterSuite(name: string, start: StartServer, database: () => pg.Pool): void {
  const open = async (t: TestContext, options: Options = {}, pool?: pg.Pool) => {
    const app = new ModelApp(pool);
    const server = await start(app, options);
    t.after(() => server.close());
    return { app, server };
  };

  describe(name, () => {
    test('a repeat gets status, bytes and headers of the first answer, and a mark', async (t) => {
      const { app, server } = await open(t);
      const first = await post(server, '/things?a=1', { key: 'k', json: { a: [1, 'ü'] } });
      const second = await post(server, '/things?a=1', { key: '"k"', json: { a: [1, 'ü'] } });
      assert.equal(first.status, 201);
      assertReplay(second, first);
      assert.match(first.headers.get('set-cookie') ?? '', /run=1/);
      assert.equal(second.headers.get('set-cookie'), null);
      assert.equal(app.runs, 1);
    });

    test('a missing, malformed or doubtful key is refused before the handler', async (t) => {
      const { app, server } = await open(t);
      assertProblem(await post(server, '/things', { json: {} }), 400, 'idempotency-key-missing');
      for (const key of ['', ' ', 'a b', '"a', 'x'.repeat(256)]) {
        const sent = await post(server, '/things', { key, json: {} });
        assertProblem(sent, 400, 'idempotency-key-invalid');
      }
      const differing = { 'x-idempotency-key': 'b' };
      const sent = await post(server, '/things', { key: 'a', json: {}, headers: differing });
      assertProblem(sent, 400, 'idempotency-key-invalid');
      assert.equal(app.runs, 0);
    });

    test('a key sent again with another body, path or query is refused', async (t) => {
      const { app, server } = await open(t);
      const first = await post(server, '/things', { key: 'k', json: { a: 1, b: 2 } });
      const others = [
        post(server, '/things', { key: 'k', json: { a: 1, b: 3 } }),
        post(server, '/other', { key: 'k', json: { a: 1, b: 2 } }),
        post(server, '/things?x=1', { key: 'k', json: { a: 1, b: 2 } }),
      ];
      for (const sent of await Promise.all(others)) {
        assertProblem(sent, 422, 'idempotency-key-reused');
      }
      assertReplay(await post(server, '/things', { key: 'k', json: { b: 2, a: 1 } }), first);
      assert.equal(app.runs, 1);
    });

    test('the same key of two callers is two keys', async (t) => {
      const { app, server } = await open(t);
      const of = (authorization: string) =>
        post(server, '/things', { key: 'k', json: {}, headers: { authorization } });
      assert.equal((await of('one')).replayed, false);
      assert.equal((await of('two')).replayed, false);
      assert.equal(app.runs, 2);
    });

    test('50 concurrent duplicates run once and get the same answer', async (t) => {
      const { app, server } = await open(t);
      const all = await Promise.all(
        Array.from({ length: 50 }, () => post(server, '/things', { key: 'k', json: { a: 1 } })),
      );
      assert.equal(app.runs, 1);
      assert.equal(all.filter((sent) => !sent.replayed).length, 1);
      for (const sent of all) assert.deepEqual([sent.status, sent.body], [201, all[0]?.body]);
    });

    test('a reused key is told from a duplicate while the first is in flight', async (t) => {
      const { app, server } = await open(t, { waitMs: 20 });
      const held = new Promise<void>((resolve) => {
        app.onHeld = resolve;
      });
      const first = post(server, '/held', { key: 'k', json: {} });
      await held;
      const other = await post(server, '/held', { key: 'k', json: { other: 1 } });
      assertProblem(other, 422, 'idempotency-key-reused');
      const duplicate = await post(server, '/held', { key: 'k', json: {} });
      assertProblem(duplicate, 409, 'request-in-flight');
      assert.ok(Number(duplicate.headers.get('retry-after')) >= 1);
      app.release();
      assertReplay(await post(server, '/held', { key: 'k', json: {} }), await first);
    });

    test('a failure is not recorded, a refusal is', async (t) => {
      for (const [path, expected] of [
        ['/flaky', [503, 201, 201]],
        ['/throws', [500, 201, 201]],
        ['/refused', [409, 409, 409]],
      ] as const) {
        const { app, server } = await open(t);
        const statuses: number[] = [];
        for (let i = 0; i < 3; i++) {
          statuses.push((await post(server, path, { key: 'k', json: {} })).status);
        }
        assert.deepEqual(statuses, expected, path);
        assert.equal(app.runs, path === '/refused' ? 1 : 2);
      }
    });

    test('a handler that fails within its answer is answered with the failure alone', async (t) => {
      const { app, server } = await open(t);
      const failed = await post(server, '/partial', { key: 'k', json: {} });
      assert.equal(failed.status, 500);
      assert.ok(!failed.body.includes('part of it'), failed.body.toString());
      const length = failed.headers.get('content-length');
      if (length !== null) assert.equal(Number(length), failed.body.length);
      assert.equal((await post(server, '/partial', { key: 'k', json: {} })).status, 201);
      assert.equal(app.runs, 2);
    });

    test('binary bodies are told apart and answered byte by byte', async (t) => {
      const { app, server } = await open(t);
      const bytes = Buffer.from(Array.from({ length: 1_000 }, (_, i) => i % 256));
      const first = await post(server, '/bytes', { key: 'k', bytes });
      assert.deepEqual(first.body, Buffer.concat([Buffer.from([0, 255, 1]), bytes]));
      assertReplay(await post(server, '/bytes', { key: 'k', bytes }), first);
      const other = Buffer.concat([bytes, Buffer.from('x')]);
      const reused = await post(server, '/bytes', { key: 'k', bytes: other });
      assertProblem(reused, 422, 'idempotency-key-reused');
      assert.equal(app.runs, 1);
    });

    test('a body beyond the limit is refused before the handler', async (t) => {
      const { app, server } = await open(t, { bodyBytesMax: 1_000 });
      for (const headers of [{}, { 'transfer-encoding': 'chunked' }]) {
        const sent = await raw(server, '/bytes', { 'idempotency-key': 'k', ...headers }, 1_001);
        assert.ok(sent.startsWith('HTTP/1.1 413 '), JSON.stringify(headers));
        assert.match(sent, /"payload-too-large"/);
      }
      assert.equal(app.runs, 0);
    });

    test('a streamed answer is replayed whole', async (t) => {
      const { app, server } = await open(t);
      const first = await post(server, '/stream', { key: 'k', json: {} });
      assert.equal(first.body.length, 10_000);
      assertReplay(await post(server, '/stream', { key: 'k', json: {} }), first);
      assert.equal(app.runs, 1);
    });

    test('an answer too large to keep is delivered once and never run again', async (t) => {
      const { app, server } = await open(t, { answerBytesMax: 100_000 });
      const first = await post(server, '/large', { key: 'k', json: {} });
      assert.deepEqual([first.status, first.body.length], [200, 300_000]);
      const second = await post(server, '/large', { key: 'k', json: {} });
      assertProblem(second, 409, 'answer-not-kept');
      assert.equal(app.runs, 1);
    });

    test('a stream that outgrows the limit flows while it is still being made', async (t) => {
      const { app, server } = await open(t, { answerBytesMax: 50_000 });
      const held = new Promise<void>((resolve) => {
        app.onHeld = resolve;
      });
      const headers = { 'idempotency-key': 'k', 'content-type': 'application/json' };
      const sent = await fetch(`${server.url}/open-stream`, {
        method: 'POST',
        headers,
        body: '{}',
      });
      assert.equal(sent.status, 200, 'answered before its end');
      await held;
      app.release();
      const body = Buffer.from(await sent.arrayBuffer());
      assert.deepEqual([body.length, body.subarray(-3).toString()], [200_003, 'end']);
      const again = await post(server, '/open-stream', { key: 'k', json: {} });
      assertProblem(again, 409, 'answer-not-kept');
    });

    test('a client that hangs up finds its answer when it comes back', async (t) => {
      const { app, server } = await open(t);
      const held = new Promise<void>((resolve) => {
        app.onHeld = resolve;
      });
      const headers = { 'idempotency-key': 'k', 'content-type': 'application/json' };
      const gone = request(`${server.url}/held`, { method: 'POST', headers });
      gone.on('error', () => {});
      gone.end('{"a":1}');
      await held;
      gone.destroy();
      await new Promise((resolve) => gone.on('close', resolve));
      const again = post(server, '/held', { key: 'k', json: { a: 1 } });
      app.release();
      assert.deepEqual([(await again).status, (await again).replayed], [201, true]);
      assert.equal(app.runs, 1);
    });

    test('a key is optional where the settings say so', async (t) => {
      const { app, server } = await open(t, { required: false });
      for (let i = 0; i < 2; i++) {
        assert.equal((await post(server, '/things', { json: {} })).replayed, false);
      }
      assert.equal(app.runs, 2);
    });

    test('effect and record commit together; a restart without Redis replays them', async (t) => {
      const pool = database();
      const query = (sql: string, params: unknown[]) => pool.query(sql, params);
      const key = crypto.randomUUID();
      const one = await open(t, { query }, pool);
      const first = await post(one.server, '/transaction', { key, json: {} });
      assert.equal(first.status, 201);
      assertReplay(await post(one.server, '/transaction', { key, json: {} }), first);
      const two = await open(t, { query }, pool);
      assertReplay(await post(two.server, '/transaction', { key, json: {} }), first);
      assert.equal(two.app.runs, 0);
      assert.equal(await effects(pool, key), 1);
    });

    test('a handler that fails after its commit is answered with what it recorded', async (t) => {
      const pool = database();
      const query = (sql: string, params: unknown[]) => pool.query(sql, params);
      const key = crypto.randomUUID();
      const { app, server } = await open(t, { query }, pool);
      const first = await post(server, '/transaction-then-throw', { key, json: {} });
      assert.equal(first.status, 201);
      assertReplay(await post(server, '/transaction-then-throw', { key, json: {} }), first);
      assert.deepEqual([app.runs, await effects(pool, key)], [1, 1]);
    });

    test('an answer that cannot be recorded is a failure, and frees its key', async (t) => {
      const pool = database();
      let broken = true;
      const query = (sql: string, params: unknown[]) => {
        if (broken && sql.includes('INSERT')) throw new Error('the database is gone');
        return pool.query(sql, params);
      };
      const { app, server } = await open(t, { query }, pool);
      const key = crypto.randomUUID();
      const failed = await post(server, '/things', { key, json: {} });
      assert.equal(failed.status, 500);
      assert.equal(failed.headers.get('location'), null);
      broken = false;
      const first = await post(server, '/things', { key, json: {} });
      assert.deepEqual([first.status, app.runs], [201, 2]);
      assertReplay(await post(server, '/things', { key, json: {} }), first);
    });

    test('a body of a type that nobody parses counts as well, or is refused', async (t) => {
      const { app, server } = await open(t);
      const of = (json: unknown) =>
        post(server, '/things', { key: 'k', json, headers: { 'content-type': 'text/x-unknown' } });
      const first = await of({ a: 1 });
      if (first.status === 415) return assert.equal(app.runs, 0);
      assertReplay(await of({ a: 1 }), first);
      assertProblem(await of({ a: 2 }), 422, 'idempotency-key-reused');
    });

    test('two processes, two requests under one key: the loser is told of the reuse', async (t) => {
      const pool = database();
      const query = (sql: string, params: unknown[]) => pool.query(sql, params);
      const key = crypto.randomUUID();
      const servers = [await open(t, { query }, pool), await open(t, { query }, pool)];
      const both = Promise.withResolvers<void>();
      let inside = 0;
      for (const { app } of servers) {
        app.beforeTransaction = () => {
          if (++inside === 2) both.resolve();
          return both.promise;
        };
      }
      const sent = await Promise.all(
        servers.map(({ server }, i) => post(server, '/transaction', { key, json: { i } })),
      );
      const [won, lost] = sent[0]?.status === 201 ? sent : sent.toReversed();
      assert.equal(won?.status, 201);
      assertProblem(lost as Sent, 422, 'idempotency-key-reused');
      assert.equal(lost?.headers.get('location'), null);
      assert.equal(await effects(pool, key), 1);
    });

    test('what no replay could send is refused before it is recorded', async (t) => {
      const pool = database();
      const query = (sql: string, params: unknown[]) => pool.query(sql, params);
      const { server } = await open(t, { query }, pool);
      const answers = [
        { headers: { location: '/\u2603' } },
        { headers: { location: '/a\r\nset-cookie: b' } },
        { status: 99 },
      ];
      for (const unsendable of answers) {
        const key = crypto.randomUUID();
        const sent = await post(server, '/unsendable', { key, json: unsendable });
        assert.equal(sent.status, 500);
        assert.equal(await effects(pool, key), 0);
      }
    });

    test('two processes without shared claims: the database decides', async (t) => {
      const pool = database();
      const query = (sql: string, params: unknown[]) => pool.query(sql, params);
      const key = crypto.randomUUID();
      const servers = [await open(t, { query }, pool), await open(t, { query }, pool)];
      const all = await Promise.all(
        servers.map(({ server }) => post(server, '/transaction', { key, json: {} })),
      );
      assert.deepEqual(
        all.map((sent) => sent.status),
        [201, 201],
      );
      assert.deepEqual(all[0]?.body, all[1]?.body);
      assert.equal(await effects(pool, key), 1);
    });
  });
}

interface Post {
  key?: string;
  json?: unknown;
  bytes?: Buffer;
  headers?: Record<string, string>;
}

async function post(server: TestServer, path: string, { key, json, bytes, headers }: Post) {
  const type = bytes ? 'application/octet-stream' : 'application/json';
  const body = bytes ? new Uint8Array(bytes) : JSON.stringify(json);
  const sent = await fetch(server.url + path, {
    method: 'POST',
    signal: AbortSignal.timeout(10_000),
    body,
    headers: {
      'content-type': type,
      ...(key !== undefined && { 'idempotency-key': key }),
      ...headers,
    },
  });
  return {
    status: sent.status,
    headers: sent.headers,
    body: Buffer.from(await sent.arrayBuffer()),
    replayed: sent.headers.get('idempotent-replayed') === 'true',
  };
}

function assertReplay(sent: Sent, first: Sent): void {
  assert.equal(sent.replayed, true);
  assert.equal(first.replayed, false);
  assert.equal(sent.status, first.status);
  assert.deepEqual(sent.body, first.body);
  for (const name of ['location', 'content-type', 'etag']) {
    assert.equal(sent.headers.get(name), first.headers.get(name), name);
  }
}

function assertProblem(sent: Sent, status: number, code: string): void {
  assert.equal(sent.status, status, sent.body.toString());
  assert.equal(sent.headers.get('content-type'), 'application/problem+json');
  assert.equal(JSON.parse(sent.body.toString()).code, code);
}

/** Sends bytes in the framing that the headers ask for. @returns the whole answer as text */
function raw(
  server: TestServer,
  path: string,
  headers: Record<string, string>,
  length: number,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const type = { 'content-type': 'application/octet-stream' };
    const req = request(server.url + path, { method: 'POST', headers: { ...type, ...headers } });
    req.on('error', reject);
    req.on('response', async (res) => {
      const chunks = await res.toArray();
      resolve(`HTTP/1.1 ${res.statusCode} \n${Buffer.concat(chunks)}`);
    });
    req.end(Buffer.alloc(length));
  });
}

async function effects(pool: pg.Pool, key: string): Promise<number> {
  const { rows } = await pool.query('SELECT count(*)::int AS n FROM effects WHERE key = $1', [key]);
  return rows[0].n;
}
