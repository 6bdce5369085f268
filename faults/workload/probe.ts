import type { Caller } from './caller.ts';
import { codeOf, finalAnswer, type History, type Operation, type Probe } from './history.ts';

/** Requests whose bodies are right on another path too, where their keys must not be taken. */
const otherPaths: readonly (readonly [RegExp, string])[] = [
  [/^\/v1\/receipts$/, '/v1/shipments'],
  [/^\/v1\/shipments$/, '/v1/receipts'],
  [/\/release$/, '/ship'],
  [/\/ship$/, '/release'],
];

/** Asks one instance for everything that it says of an acknowledged operation. */
export async function probe(
  operation: Operation,
  instance: number,
  caller: Caller,
  history: History,
): Promise<void> {
  const { tenant, key } = operation;
  const answer = JSON.parse(finalAnswer(operation)?.body ?? '{}') as Answered;
  const { id } = answer.posting ?? answer;
  const paths: [Probe['what'], string][] = [
    ['key', `/v1/idempotency-keys/${key}`],
    ['posting', `/v1/postings/${id}`],
    ['movements', `/v1/movements?posting=${id}&limit=200`],
  ];
  if (answer.posting !== undefined) paths.push(['reservation', `/v1/reservations/${answer.id}`]);
  for (const [what, path] of paths) {
    const reply = await caller.get(tenant, instance, path);
    if (reply?.status === 200) history.probes.push({ operation, what, body: reply.body });
  }
  await misuse(operation, instance, caller, history);
}

interface Answered {
  readonly id: string;
  readonly posting?: Answered;
}

async function misuse(
  { tenant, key, path, body }: Operation,
  instance: number,
  caller: Caller,
  history: History,
): Promise<void> {
  const other = otherPaths.find(([pattern]) => pattern.test(path));
  if (other === undefined) return;
  const headers = { 'idempotency-key': `"${key}"` };
  const reply = await caller.post(tenant, instance, {
    path: path.replace(...other),
    body,
    headers,
  });
  if (reply === undefined || reply.status >= 500) return;
  if (codeOf(reply.body) === 'request-in-flight') return;
  const what = `the key of ${path} on another path`;
  history.invalid.push({ what, expected: 422, status: reply.status, body: reply.body });
}
