import { type Answer, codeOf, type History, isFinal, type Operation } from '../workload/history.ts';
import type { Report } from './anomaly.ts';
import type { PostingRow, RecordRow, Snapshot } from './snapshot.ts';

/** 24 h, less what a batch takes between its decision and its record. */
const retentionMsMin = 86_400_000 - 60_000;

/** An operation with what the clients and the database say became of it. */
export interface Fate {
  readonly operation: Operation;
  readonly postings: readonly PostingRow[];
  /** Final answers in the order of their arrival, without those that only refuse its key. */
  readonly answers: readonly Answer[];
  /** Some attempt was told that its key belongs to another request. */
  readonly wasReused: boolean;
}

/** What became of each operation, by its id. */
export function fatesOf(history: History, snapshot: Snapshot): Map<string, Fate> {
  const postings = Map.groupBy(snapshot.postings, (posting) => posting.reference ?? '');
  return new Map(
    history.operations.map((operation) => {
      const finals = operation.attempts
        .flatMap(({ answer }) => (answer !== undefined && isFinal(answer) ? [answer] : []))
        .sort((a, b) => a.at - b.at);
      const answers = finals.filter((answer) => !isReuse(answer));
      const wasReused = answers.length < finals.length;
      const own = postings.get(operation.id) ?? [];
      return [operation.id, { operation, postings: own, answers, wasReused }];
    }),
  );
}

function isReuse({ status, body }: Answer): boolean {
  return status === 422 && codeOf(body) === 'idempotency-key-reused';
}

/** Exactly once, the same bytes each time, one request for a key, and a memory that agrees. */
export function checkClients(
  history: History,
  snapshot: Snapshot,
  fates: ReadonlyMap<string, Fate>,
  report: Report,
): void {
  const records = new Map(snapshot.records.map((row) => [`${row.tenant} ${row.key}`, row]));
  const groups = Map.groupBy(fates.values(), ({ operation }) => nameOf(operation));
  for (const fate of fates.values()) {
    checkCount(fate, report);
    checkRepeats(fate, report);
    checkReplayed(fate, report);
  }
  for (const [name, group] of groups) checkKey(name, group, records.get(name), report);
  for (const name of records.keys()) {
    if (!groups.has(name)) report('record', `${name} is recorded and was never sent`);
  }
  for (const { what, expected, status, body } of history.invalid) {
    if (status !== expected) report('misuse', `${what}: ${status} instead of ${expected}: ${body}`);
  }
}

function nameOf({ tenant, key }: Operation): string {
  return `${tenant} ${key}`;
}

function checkCount({ operation, postings, answers }: Fate, report: Report): void {
  const { id, tenant } = operation;
  const [first] = answers;
  if (postings.length > 1) report('exactly-once', `${id} took effect ${postings.length} times`);
  if (postings.length === 0 && first?.status === 201) {
    report('exactly-once', `${id} was acknowledged and has no effect`);
  }
  if (postings.length > 0 && first !== undefined && first.status !== 201) {
    report('exactly-once', `${id} was refused (${first.status}) and took effect`);
  }
  for (const posting of postings) {
    if (posting.tenant !== tenant) report('tenant', `${id} was posted for ${posting.tenant}`);
  }
}

function checkRepeats({ operation, answers }: Fate, report: Report): void {
  const [first, ...repeats] = answers;
  if (first === undefined) return;
  const headers = answers.find((answer) => answer.headers !== undefined)?.headers;
  for (const repeat of repeats) {
    const isSame =
      repeat.status === first.status &&
      repeat.body === first.body &&
      (repeat.headers ?? headers) === headers;
    if (!isSame) {
      const was = `${first.status} ${headers} ${first.body}`;
      const is = `${repeat.status} ${repeat.headers} ${repeat.body}`;
      report('repeat', `${operation.id} was answered\n    ${was}\n  and then\n    ${is}`);
      return;
    }
  }
}

/** At most one answer is the first, and from an answer on the key is this request's own. */
function checkReplayed({ operation, answers }: Fate, report: Report): void {
  // A 400 may come from before the decision, and then leaves the key free.
  const decided = answers.filter(({ status }) => status !== 400);
  const firsts = decided.filter(({ replayed }) => replayed === false);
  if (firsts.length > 1) {
    report('repeat', `${operation.id} got ${firsts.length} answers that are said to be the first`);
  }
  const answeredAt = decided[0]?.at ?? Infinity;
  const isLate = operation.attempts.some(
    ({ sentAt, answer }) => sentAt > answeredAt && answer !== undefined && isReuse(answer),
  );
  if (isLate) report('misuse', `${operation.id} was answered, then refused as another request's`);
}

function checkKey(
  name: string,
  group: readonly Fate[],
  record: RecordRow | undefined,
  report: Report,
): void {
  // A 400 comes from before the decision and leaves the key free. One that was refused for its key
  // while another was in flight may still take effect when that one did not.
  const decided = group.filter(
    ({ answers, postings }) => (answers[0]?.status ?? 400) !== 400 || postings.length > 0,
  );
  if (decided.length > 1) report('misuse', `${name} stands for ${decided.length} requests`);
  if (group.length === 1 && group[0]?.wasReused) {
    report('misuse', `${name} was used once and refused as used before`);
  }
  const answer = decided[0]?.answers[0];
  if (answer === undefined || answer.status === 400) return;
  if (record === undefined) report('record', `${name} was answered and is not recorded`);
  else if (record.status !== answer.status || record.body !== answer.body) {
    report('record', `${name} was answered ${answer.body} and is recorded as ${record.body}`);
  } else if (record.keptMs < retentionMsMin) {
    report('record', `${name} is kept for ${record.keptMs} ms`);
  }
}
