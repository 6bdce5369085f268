/**
 * A server that kills itself at a stated point: `DATABASE_URL REDIS_SOCKET CRASH_AT` by
 * environment.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { createClient } from 'redis';
import { nodeIdempotency } from '../adapters/node-http.ts';
import { redisClaims } from '../redis/claims.ts';

const { DATABASE_URL, REDIS_SOCKET, CRASH_AT } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 4 });
const client = createClient({ socket: { path: REDIS_SOCKET as string, tls: false } });
await client.connect();
const claims = redisClaims(client, { commandTimeoutMs: 2_000 });
if (CRASH_AT === 'after-answer') {
  // The completion never leaves; the test kills once it has the answer.
  claims.complete = () => new Promise(() => {});
}

function crash(point: string): void {
  if (CRASH_AT === point) process.kill(process.pid, 'SIGKILL');
}

const idempotency = nodeIdempotency({
  singleTenant: true,
  claims,
  query: (sql, params) => pool.query(sql, params),
  leaseMs: 300,
  waitMs: 5_000,
});
const server = createServer(
  idempotency.protect(async (_req, res, { idempotency: request }) => {
    if (!request) throw new Error('the test sent no key');
    crash('before-effect');
    const tx = await pool.connect();
    await tx.query('BEGIN');
    await tx.query('INSERT INTO effects (key) VALUES ($1)', [request.key]);
    crash('before-commit');
    const body = { key: request.key, pid: process.pid };
    const answer = await request.record(tx, { status: 201, body });
    await tx.query('COMMIT');
    tx.release();
    crash('before-answer');
    res.writeHead(answer.status, answer.headers);
    res.end(answer.body);
  }),
);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`listening on ${(server.address() as AddressInfo).port}`);
