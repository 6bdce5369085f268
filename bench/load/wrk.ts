import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Load, type Measured, world } from './load.ts';

const SCRIPT = path.join(import.meta.dirname, 'requests.lua');

/** Seconds after which wrk counts a request without an answer as timed out. */
const TIMEOUT_SECONDS = 10;

/** Runs wrk with one thread per target. @throws with its output when it does not end well */
export async function runWrk(wrk: string, load: Load): Promise<Measured> {
  const { targets, connections, seconds } = load;
  const threads = Math.min(targets.length, connections);
  const args = ['-t', threads, '-c', connections, '-d', `${seconds}s`, '-s', SCRIPT];
  const { stdout } = await promisify(execFile)(
    wrk,
    [...args, '--timeout', `${TIMEOUT_SECONDS}s`, targets[0] ?? ''].map(String),
    { env: environmentOf(load), timeout: (seconds + TIMEOUT_SECONDS + 30) * 1_000 },
  );
  const last = stdout.trim().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(last) as Measured;
  } catch {
    throw new Error(`wrk ended without a result:\n${stdout}`);
  }
}

function environmentOf({ requests, targets, run, delayMs, seed }: Load): Record<string, string> {
  const values = {
    TARGETS: targets.map((target) => new URL(target).host).join(','),
    KIND: requests.kind,
    PICK: requests.pick,
    LINES: requests.lines,
    RUN: run,
    SEED: seed,
    DELAY_MS: delayMs,
    SECRET: world.secret,
    PRODUCTS: world.products,
    TENANTS: world.tenants,
    TENANT_PRODUCTS: world.tenantProducts,
    REPLAYS: world.replays,
    ZIPF: world.zipfExponent,
    BATCH: world.batchCommands,
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [`BENCH_${name}`, String(value)]),
  );
}
