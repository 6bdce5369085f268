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

/** It connects within its time, and 128 sessions take a second on a busy machine. */
const secondsMin = 3;

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
  const time = Math.max(seconds, secondsMin);
  const size = [`--client=${connections}`, '--jobs=1', `--time=${time}`];
  try {
    const { stdout } = await promisify(execFile)(
      program,
      [...args, ...size, ...rate, `--file=${script}`, databaseUrl],
      { env: { PATH: process.env.PATH ?? '' } },
    );
    return measured(stdout, latenciesIn(own), time);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

/** Sorted, in microseconds: the third field of each line of the log. */
function latenciesIn(folder: string): number[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('log'))
    .flatMap((name) => readFileSync(path.join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => Number(line.split(' ')[2]))
    .filter((latency) => latency > 0)
    .sort((a, b) => a - b);
}

function measured(stdout: string, latencies: number[], seconds: number): Measured {
  const tps = Number(/tps = ([\d.]+)/.exec(stdout)?.[1]);
  const failed = Number(/number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0);
  const answers = latencies.length;
  const at = (share: number) => latencies[Math.min(answers - 1, Math.floor(answers * share))] ?? 0;
  return {
    // Its rate leaves out the time in which it connects.
    seconds: tps > 0 ? answers / tps : seconds,
    answers,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
    refused: failed,
    broken: 0,
  };
}
