import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Load, type Measured, type Requests, world } from '../load/load.ts';

/** The zipfian generator of pgbench and ours agree on the exponent, not on the products. */
const picks: Record<Requests['pick'], string> = {
  uniform: `random(1, ${world.products})`,
  zipf: `random_zipfian(1, ${world.products}, ${world.zipfExponent})`,
  hot: '1',
};

/** The statements of classic/statements.ts for a receipt of one line, without HTTP and Redis. */
function scriptOf({ pick }: Requests, run: string): string {
  const level = `tenant = 'demo' AND warehouse = 'W1'
  AND product = 'SKU-' || lpad(:product::text, 4, '0')`;
  return `\\set product ${picks[pick]}
\\set number random(1, 9000000000000000000)
BEGIN;
INSERT INTO keys (tenant, key, posting_id)
  VALUES ('demo', '${run}-' || :number::text, gen_random_uuid())
  ON CONFLICT DO NOTHING RETURNING posting_id \\gset
SELECT on_hand, reserved FROM levels WHERE ${level} FOR UPDATE \\gset
UPDATE levels SET on_hand = :on_hand::bigint + 1, reserved = :reserved WHERE ${level};
INSERT INTO movements (tenant, posting_id, position, warehouse, product, on_hand_change,
    reserved_change, on_hand, reserved)
  VALUES ('demo', :posting_id, 0, 'W1', 'SKU-' || lpad(:product::text, 4, '0'), 1, 0,
    :on_hand::bigint + 1, :reserved)
  RETURNING recorded_at;
COMMIT;
`;
}

/**
 * Seconds that are not counted: to connect, and to prepare and plan in each new session. The pools
 * of the other subjects have long done so.
 */
function warmUpSeconds(connections: number): number {
  return 1 + Math.ceil(connections / 100);
}

/**
 * Runs pgbench with prepared statements on one thread.
 * @param folder for its script and its log, which has every latency
 */
export async function runPgbench(
  program: string,
  databaseUrl: string,
  folder: string,
  { requests, connections, seconds, delayMs, run }: Load,
): Promise<Measured> {
  const own = mkdtempSync(path.join(folder, 'pgbench-'));
  const script = path.join(own, 'receipt.sql');
  writeFileSync(script, scriptOf(requests, run));
  const rate = delayMs > 0 ? [`--rate=${Math.ceil((connections * 1_000) / delayMs)}`] : [];
  const args = ['--no-vacuum', '--protocol=prepared', '--log', `--log-prefix=${own}/log`];
  const time = seconds + warmUpSeconds(connections);
  const size = [`--client=${connections}`, '--jobs=1', `--time=${time}`];
  try {
    const { stdout } = await promisify(execFile)(
      program,
      [...args, ...size, ...rate, `--file=${script}`, databaseUrl],
      { env: { PATH: process.env.PATH ?? '' } },
    );
    const failed = Number(/number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0);
    return { ...lastSeconds(transactionsIn(own), seconds), refused: failed, broken: 0 };
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

interface Transaction {
  /** Seconds since the epoch. */
  readonly end: number;
  /** Microseconds. */
  readonly latency: number;
}

/** Lines of `client number latency script epoch microseconds …`. */
function transactionsIn(folder: string): Transaction[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('log'))
    .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').trim().split('\n'))
    .filter((line) => line !== '')
    .map((line) => {
      const [, , latency, , second, micros] = line.split(' ').map(Number);
      return { end: (second ?? 0) + (micros ?? 0) / 1e6, latency: latency ?? 0 };
    });
}

/** What the log says of the last seconds of a run. */
export function lastSeconds(
  all: readonly Transaction[],
  seconds: number,
): Omit<Measured, 'refused' | 'broken'> {
  const last = all.reduce((latest, { end }) => Math.max(latest, end), 0);
  const counted = all.filter(({ end }) => end > last - seconds);
  const latencies = counted.map(({ latency }) => latency).sort((a, b) => a - b);
  const answers = latencies.length;
  const at = (share: number) => latencies[Math.min(answers - 1, Math.floor(answers * share))] ?? 0;
  const percentiles = { p50: at(0.5), p99: at(0.99), p999: at(0.999) };
  return { seconds, answers, metered: all.length, ...percentiles };
}
