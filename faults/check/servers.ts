import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from '../supervisor/cluster.ts';
import type { Caller } from '../workload/caller.ts';
import { type Answer, finalAnswer, type History } from '../workload/history.ts';
import type { Reply } from '../workload/http.ts';
import type { Report } from './anomaly.ts';

/**
 * Constraints that stand behind the row locks and the rules: a batch that meets one was let through
 * by what should have stopped it. Recording a key twice at once is not among them.
 */
const guards = [
  'movements_pkey',
  'postings_reversed_once',
  'reservation_lines_held',
  'levels_not_oversold',
  'levels_on_hand_check',
  'levels_reserved_check',
];

/** What the servers say about themselves: logs, ends of processes, the service's own proof. */
export async function checkServers(
  cluster: Cluster,
  caller: Caller,
  history: History,
  report: Report,
): Promise<void> {
  for (const server of cluster.postgres.servers) checkLog(server.log(), report);
  for (const { index, crashes } of cluster.services) {
    for (const crash of crashes) report('crash', `service ${index} ended by itself: ${crash}`);
  }
  for (const tenant of history.tenants) await checkProof(caller, tenant, report);
  await checkKeys(caller, history, report);
}

function checkLog(log: string, report: Report): void {
  const deadlocks = log.match(/deadlock detected/g)?.length ?? 0;
  if (deadlocks > 0) report('deadlock', `${deadlocks} deadlocks in the log of PostgreSQL`);
  for (const guard of guards) {
    const line = log.split('\n').find((each) => each.includes(`constraint "${guard}"`));
    if (line !== undefined) report('guard', line);
  }
}

async function checkProof(caller: Caller, tenant: string, report: Report): Promise<void> {
  for (let instance = 0; instance < caller.instances; instance++) {
    const reply = await caller.get(tenant, instance, '/v1/verify', { timeoutMs: 30_000 });
    if (reply?.status === 200 && JSON.parse(reply.body).valid === true) continue;
    report('verify', `service ${instance} on ${tenant}: ${reply?.status} ${reply?.body}`);
  }
}

/** Settled requests that are asked about: the latest ones, under the last faults. */
const askedMax = 30;

/**
 * `GET /v1/idempotency-keys/{key}` says what became of a request, and nothing of one never sent.
 */
async function checkKeys(caller: Caller, history: History, report: Report): Promise<void> {
  const ask = async (tenant: string, key: string, expected: number) => {
    const path = `/v1/idempotency-keys/${key}`;
    const reply = await askUntilAnswered(() => caller.get(tenant, 0, path, { expected }));
    if (reply === undefined) report('liveness', `GET ${path} of ${tenant} is not answered`);
    return reply;
  };
  const [first = ''] = history.tenants;
  const unknown = await ask(first, 'never-sent', 404);
  if ((unknown?.status ?? 404) !== 404)
    report('misuse', `a key never sent is known: ${unknown?.body}`);
  for (const operation of history.operations.slice(-askedMax)) {
    const answer = finalAnswer(operation);
    // Others leave the key free, or to another request.
    if (answer?.status !== 201) continue;
    const { id, tenant, key } = operation;
    const reply = await ask(tenant, key, 200);
    if (reply === undefined || saysAnswer(reply, answer)) continue;
    report('record', `${id} was answered ${answer.body}, and its key says ${reply.body}`);
  }
}

function saysAnswer({ status, body }: Reply, answer: Answer): boolean {
  if (status !== 200) return false;
  const state = JSON.parse(body) as { answer?: { body: unknown } };
  return JSON.stringify(state.answer?.body) === answer.body;
}

/** Nothing is broken any more; what is slow to notice gets 5 × (5 s + 200 ms). */
const triesMax = 5;
const tryPauseMs = 200;

async function askUntilAnswered(ask: () => Promise<Reply | undefined>): Promise<Reply | undefined> {
  for (let tries = 0; tries < triesMax; tries++) {
    const reply = await ask();
    if (reply !== undefined && reply.status !== 503) return reply;
    await delay(tryPauseMs);
  }
  return undefined;
}
