import { setTimeout } from 'node:timers/promises';
import { type Command, commandOf } from './command.ts';
import type { Connection, Reply } from './connection.ts';
import { readOrders } from './orders.ts';
import type { Plan } from './plan.ts';
import { isReplayed, printOf, repeatOf } from './repeats.ts';
import { send } from './send.ts';
import { Slots } from './slots.ts';
import { add, type Tally } from './tally.ts';

export interface ReplayOptions {
  readonly file: string;
  readonly plan: Plan;
  readonly rate: number;
  readonly duplicates: number;
  readonly concurrency: number;
  /** Stops sending; what is in flight is still awaited. */
  readonly signal: AbortSignal;
}

/** Invoices between a request and its late repeat. */
const laterAfter = 200;

interface LateRepeat {
  readonly command: Command;
  readonly print: string;
}

/**
 * Sends every invoice in file order, at most `concurrency` of them in flight, and repeats a share.
 *
 * Invoices in flight together may be decided in any order. Returns when all are decided or the
 * signal came.
 * @throws GaveUpError, OrdersFileError; what was sent until then stays posted
 */
export async function replay(
  connection: Connection,
  tally: Tally,
  options: ReplayOptions,
): Promise<void> {
  const { signal } = options;
  const late: LateRepeat[] = [];
  const slots = new Slots(options.concurrency);
  const pace = paceOf(options.rate, signal);
  const sending = { connection, tally, duplicates: options.duplicates, late, signal };
  // The signal may come while a slot or the pace is waited for.
  const run = (work: () => Promise<void>) =>
    slots.run(async () => {
      if (!signal.aborted) await work();
    });
  const repeatLate = async () => {
    const next = late.shift();
    if (next !== undefined) await run(() => sendLate(sending, next));
  };
  try {
    for await (const order of readOrders(options.file)) {
      if (signal.aborted) break;
      const command = commandOf(order, options.plan.run);
      if (command === undefined) continue;
      const dueAt = await pace();
      await run(() => sendInvoice(sending, command, dueAt));
      if (late.length > laterAfter) await repeatLate();
    }
    await slots.drained();
    while (late.length > 0 && !signal.aborted) await repeatLate();
  } finally {
    await slots.settled();
  }
  await slots.drained();
}

interface Sending {
  readonly connection: Connection;
  readonly tally: Tally;
  readonly duplicates: number;
  readonly late: LateRepeat[];
  readonly signal: AbortSignal;
}

async function sendInvoice(
  sending: Sending,
  command: Command,
  dueAt: number | undefined,
): Promise<void> {
  const { tally, duplicates, late } = sending;
  const repeat = repeatOf(command.key, duplicates);
  const startedAt = dueAt ?? performance.now();
  const twin = repeat === 'at-once' ? sendOnce(sending, command) : undefined;
  // Awaited below; until then its failure must not end the process.
  twin?.catch(() => {});
  const reply = await sendOnce(sending, command);
  tally.decide(command, reply, performance.now() - startedAt);
  if (repeat === 'later') late.push({ command, print: printOf(reply) });
  if (twin === undefined) return;
  const second = await twin;
  const isOneReplayed = isReplayed(reply) || isReplayed(second);
  checkRepeat(tally, command, printOf(reply), second, isOneReplayed);
}

async function sendLate(sending: Sending, { command, print }: LateRepeat): Promise<void> {
  const reply = await sendOnce(sending, command);
  checkRepeat(sending.tally, command, print, reply, isReplayed(reply));
}

function checkRepeat(
  tally: Tally,
  { key }: Command,
  print: string,
  reply: Reply,
  isMarked: boolean,
): void {
  tally.repeats += 1;
  if (printOf(reply) !== print) tally.fault(`${key}: the repeat's answer differs from the first`);
  else if (!isMarked) tally.fault(`${key}: the repeat lacks Idempotent-Replayed`);
}

async function sendOnce(sending: Sending, command: Command): Promise<Reply> {
  const { connection, tally, signal } = sending;
  const { path, key, body } = command;
  tally.requests += 1;
  const onRetry = (cause: string) => {
    tally.requests += 1;
    add(tally.retries, cause, 1);
  };
  const reply = await send(connection, { method: 'POST', path, key, body }, { onRetry, signal });
  if (isReplayed(reply)) tally.replayed += 1;
  return reply;
}

/**
 * Waits until the next request is due, or for the signal.
 * @returns when, undefined without a rate
 */
function paceOf(rate: number, signal: AbortSignal): () => Promise<number | undefined> {
  if (rate === 0) return async () => undefined;
  const startedAt = performance.now();
  let count = 0;
  return async () => {
    const dueAt = startedAt + (count * 1_000) / rate;
    count += 1;
    const waitMs = dueAt - performance.now();
    // A timer is good for a millisecond; what is due within it goes now.
    if (waitMs > 1) await setTimeout(waitMs, undefined, { signal }).catch(() => {});
    return dueAt;
  };
}
