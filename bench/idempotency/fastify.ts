/**
 * Rate of a protected Fastify route against the bare one, Redis store, 64 connections:
 * `node bench/idempotency/fastify.ts`. Rounds alternate, so that both see the same machine. The CPU
 * that the server spent per request tells them apart also when others use the machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { RedisServer } from '../../idempotency/testing/redis-server.ts';
import { type Load, run } from './load.ts';

const warmUps = 2;
const rounds = 5;
const requests = 20_000;
const connections = 64;
const body = JSON.stringify({ warehouse: 'W1', lines: [{ product: 'SKU-1', quantity: 5 }] });

const redis = await RedisServer.start();
const bare = await start('bare');
const guarded = await start('protected');
const names = ['bare', 'first', 'replay'] as const;
type Sample = { rate: number; micros: number };
const samples = { bare: [] as Sample[], first: [] as Sample[], replay: [] as Sample[] };
for (let round = 0; round < warmUps + rounds; round++) {
  for (const name of names) {
    const { port } = name === 'bare' ? bare : guarded;
    const key = (i: number) => `round-${round}-${i}`;
    const sample = await measure({ port, requests, connections, body, key });
    if (round >= warmUps) samples[name].push(sample);
  }
}
const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;
const base = middle(samples.bare.map((sample) => sample.rate));
for (const name of names) {
  const rate = middle(samples[name].map((sample) => sample.rate));
  const micros = middle(samples[name].map((sample) => sample.micros));
  const share = (rate / base).toFixed(2);
  console.log(
    `${name}: ${Math.round(rate)} requests/s, ${share} of bare; ${micros.toFixed(1)} µs CPU`,
  );
}
bare.child.kill();
guarded.child.kill();
await redis.stop();

async function measure(load: Load): Promise<Sample> {
  const cpu = async () => Number(await (await fetch(`http://127.0.0.1:${load.port}/cpu`)).text());
  const before = await cpu();
  const rate = await run(load);
  return { rate, micros: ((await cpu()) - before) / load.requests };
}

async function start(mode: string) {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'fastify-server.ts'), mode, redis.socket],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [line] = await once(child.stdout, 'data');
  return { child, port: Number(/:(\d+)/.exec(String(line).replace('http:', ''))?.[1]) };
}
