import { checkAnswers, checkMemory, checkMovements } from './checks.ts';
import { Connection } from './connection.ts';
import { MemoryWatch } from './memory.ts';
import { open } from './opening.ts';
import type { Options } from './options.ts';
import type { OwnService } from './ownService.ts';
import type { Plan } from './plan.ts';
import { showProgress } from './progress.ts';
import { type Check, compareStock, count, verifyLedger } from './proof.ts';
import { replay } from './replay.ts';
import { reportText } from './report.ts';
import { Tally } from './tally.ts';

export interface RunOptions {
  readonly options: Options;
  readonly plan: Plan;
  readonly service: { readonly url: string; readonly apiKey: string };
  /** Undefined when somebody else runs the service. */
  readonly own: OwnService | undefined;
  readonly signal: AbortSignal;
  readonly out: NodeJS.WriteStream;
}

/**
 * Opens, replays, proves and reports.
 * @returns whether every check passed; false as well when the signal ended it early
 */
export async function runReplay(run: RunOptions): Promise<boolean> {
  const { options, plan, service } = run;
  const socketsMax = options.concurrency * 2;
  const connection = new Connection({ ...service, socketsMax });
  const tally = new Tally();
  try {
    const share = options.opening;
    run.out.write(`registering ${count(plan.leaving.size)} products and opening stock\n`);
    const { concurrency } = options;
    const opened = await open(connection, plan, { share, concurrency, signal: run.signal });
    const { seconds, memory } = await replayShown(run, connection, tally);
    if (run.signal.aborted) {
      run.out.write(`${postedSoFar(tally)}\n`);
      return false;
    }
    run.out.write('proving the ledger\n');
    const checks = await prove(run, connection, { tally, opened, memory });
    run.out.write(reportText({ plan, tally, seconds, memory, checks }));
    return checks.every(({ passed }) => passed);
  } catch (error) {
    if (tally.requests > 0) run.out.write(`${postedSoFar(tally)}\n`);
    if (run.signal.aborted) return false;
    throw error;
  } finally {
    connection.close();
  }
}

function postedSoFar({ decided, accepted }: Tally): string {
  return `${count(decided)} invoices were decided, ${count(accepted)} of them posted, and stay so`;
}

async function replayShown(
  { options, plan, own, signal, out }: RunOptions,
  connection: Connection,
  tally: Tally,
): Promise<{ seconds: number; memory: MemoryWatch | undefined }> {
  const total = plan.orders - plan.empty;
  const memory = own && new MemoryWatch(own.pid, total);
  const { orders: file, rate, duplicates, concurrency } = options;
  const startedAt = performance.now();
  const end = showProgress({ tally, total, memory, out });
  try {
    await replay(connection, tally, { file, plan, rate, duplicates, concurrency, signal });
  } finally {
    end();
  }
  return { seconds: (performance.now() - startedAt) / 1_000, memory };
}

async function prove(
  { options, plan, own }: RunOptions,
  connection: Connection,
  seen: { tally: Tally; opened: number; memory: MemoryWatch | undefined },
): Promise<Check[]> {
  const { tally, opened, memory } = seen;
  const verified = await verifyLedger(connection);
  memory?.sample(tally.decided);
  const checks = [...checkAnswers(tally, plan, options.opening), verified];
  checks.push(await compareStock(connection, plan, options.opening, tally));
  if (own?.isFresh) checks.push(checkMovements(verified.movements, opened + tally.movements));
  if (memory !== undefined) checks.push(checkMemory(memory.peakMiB));
  return checks;
}
