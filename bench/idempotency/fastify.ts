/**
 * Rate of a protected Fastify route against the bare one, Redis store, 64 connections:
 * `node bench/idempotency/fastify.ts`. Rounds alternate, so that both see the same machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { RedisServer } from '../../idempotency/testing/redis-server.ts';
import { run } from './load.ts';

const rounds = 5;
const requests = 20_000;
const connections = 64;
const body = JSON.stringify({ warehouse: 'W1', lines: [{ product: 'SKU-1', quantity: 5 }] });

const redis = await RedisServer.start();
const bare = await start('bare');
const guarded = await start('protected');
const rates: Record<'bare' | 'first' | 'replay', number[]> = { bare: [], first: [], replay: [] };
for (let round = 0; round <= rounds; round++) {
  const load = { requests, connections, body, key: (i: number) => `round-${round}-${i}` };
  const measured = {
    bare: await run({ ...load, port: bare.port }),
    first: await run({ ...load, port: guarded.port }),
    replay: await run({ ...load, port: guarded.port }),
  };
  // The first round warms both servers up.
  if (round > 0)
    for (const name of ['bare', 'first', 'replay'] as const) rates[name].push(measured[name]);
}
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;
const base = median(rates.bare);
for (const name of ['bare', 'first', 'replay'] as const) {
  const rate = median(rates[name]);
  console.log(`${name}: ${Math.round(rate)} requests/s, ${(rate / base).toFixed(2)} of bare`);
}
bare.child.kill();
guarded.child.kill();
await redis.stop();

async function start(mode: string) {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'fastify-server.ts'), mode, redis.socket],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = await once(child.stdout, 'data');
  return { child, port: Number(/:(\d+)/.exec(String(line).replace('http:', ''))?.[1]) };
}
