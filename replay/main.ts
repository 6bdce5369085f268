import { type Options, readOptions, UsageError, usage } from './options.ts';
import { OrdersFileError } from './orders.ts';
import { type OwnService, startOwnService } from './ownService.ts';
import { type Plan, planReplay } from './plan.ts';
import { count } from './proof.ts';
import { runReplay } from './run.ts';

/**
 * `npm run replay`: exits with 0 when every check passed, 1 when not, 2 for a wrong command line.
 */

const out = process.stdout;
process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2), process.env);
    const plan = await readPlan(options);
    return await replayWith(options, plan);
  } catch (error) {
    return explain(error);
  }
}

async function readPlan(options: Options): Promise<Plan> {
  const plan = await planReplay(options.orders, options.run, options.opening).catch(
    (error: Error) => {
      if (error instanceof OrdersFileError) error.message += '; nothing was posted';
      throw error;
    },
  );
  out.write(
    `${options.orders}: ${count(plan.orders)} invoices, ${count(plan.lines)} lines, ` +
      `${count(plan.leaving.size)} stock codes\n`,
  );
  return plan;
}

async function replayWith(options: Options, plan: Plan): Promise<number> {
  const interruption = interruptible();
  const own = options.service === undefined ? await startOwnService(process.env) : undefined;
  const service = options.service ?? (own as OwnService);
  out.write(`service ${service.url}${own ? `, data in ${own.dataDir}` : ''}\n`);
  let passed = false;
  try {
    const run = runReplay({ options, plan, service, own, signal: interruption.signal, out });
    const died = own?.failed.then((how) => {
      interruption.abort();
      throw new Error(`the service ${how}`);
    });
    passed = await (died === undefined ? run : Promise.race([run, died]));
  } finally {
    await own?.stop(passed);
    interruption.release();
    if (!passed) sayHowToGoOn(own);
  }
  return passed ? 0 : 1;
}

function sayHowToGoOn(own: OwnService | undefined): void {
  const where = own === undefined ? '' : ` with ONHAND_DATA_DIR=${own.dataDir}, which was kept`;
  out.write(`the same command${where} goes on without posting anything twice\n`);
}

/** The first Ctrl-C or SIGTERM stops sending; a second one ends at once. */
function interruptible(): { signal: AbortSignal; abort(): void; release(): void } {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(1);
    controller.abort();
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    abort: () => controller.abort(),
    release: () => {
      for (const signal of signals) process.off(signal, interrupt);
    },
  };
}

function explain(error: unknown): number {
  const { message } = error as Error;
  if (error instanceof UsageError) {
    if (message === usage) {
      out.write(usage);
      return 0;
    }
    process.stderr.write(`replay: ${message}\n\n${usage}`);
    return 2;
  }
  process.stderr.write(`replay: ${message}\n`);
  return 1;
}
