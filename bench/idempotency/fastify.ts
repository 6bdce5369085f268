/**
 * Rate of a protected Fastify route against the bare one, Redis store, 64 connections, and of one
 * that only sends Redis two commands and waits for them: `node bench/idempotency/fastify.ts`, with
 * `wrk` on PATH. Rounds alternate, so that all see the same machine. The CPU that the server spent
 * per request tells them apart also when others use it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { RedisServer } from '../../idempotency/testing/redis-server.ts';
import { spread } from '../report/format.ts';
import { ratioOf, type Spread, spreadOf } from '../report/statistics.ts';

/** Some 16 s for each: V8 compiles what runs less often than every request for as long. */
const warmUps = 8;
const rounds = 9;
const seconds = 2;
/** Keys that are repeated: fewer than the first phase leaves behind. */
const replayedKeys = 5_000;

const redis = await RedisServer.start();
const bare = await start('bare');
const commands = await start('commands');
const guarded = await start('protected');
const subjects = { bare, commands, first: guarded, replay: guarded };
const names = ['bare', 'commands', 'first', 'replay'] as const;
type Sample = { rate: number; micros: number };
const samples: Record<(typeof names)[number], Sample[]> = {
  bare: [],
  commands: [],
  first: [],
  replay: [],
};
try {
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const name of names) {
      const { port } = subjects[name];
      const keys = name === 'replay' ? replayedKeys : 1_000_000_000;
      const sample = await measure(port, `round-${round}-`, keys);
      if (round >= warmUps) samples[name].push(sample);
    }
  }
} finally {
  for (const { child } of [bare, commands, guarded]) child.kill();
  await redis.stop();
}
const rates = (name: (typeof names)[number]) => samples[name].map((sample) => sample.rate);
for (const name of names) {
  const rate = spreadOf(rates(name)).median;
  const micros = spreadOf(samples[name].map((sample) => sample.micros)).median;
  const share = ratioOf(rates(name), rates('bare')) as Spread;
  console.log(
    `${name}: ${Math.round(rate)} requests/s, ${spread(share)} of bare; ${micros.toFixed(1)} µs CPU`,
  );
}

async function measure(port: number, prefix: string, keys: number): Promise<Sample> {
  const url = `http://127.0.0.1:${port}`;
  const cpu = async () => Number(await (await fetch(`${url}/cpu`)).text());
  const before = await cpu();
  const script = join(import.meta.dirname, 'requests.lua');
  const wrk = spawn('wrk', ['-t1', '-c64', `-d${seconds}s`, '-s', script, url], {
    env: { ...process.env, BENCH_PREFIX: prefix, BENCH_KEYS: String(keys) },
  });
  const output = await text(wrk.stdout);
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (!requests || output.includes('Non-2xx')) throw new Error(output);
  const rate = Number(/Requests\/sec: +([\d.]+)/.exec(output)?.[1]);
  return { rate, micros: ((await cpu()) - before) / requests };
}

async function start(mode: string) {
  const script = join(import.meta.dirname, 'fastify-server.ts');
  const child = spawn(process.execPath, [script, mode, redis.socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  return { child, port: Number(/:(\d+)\s*$/.exec(String(line))?.[1]) };
}
