import type { Random } from '../random.ts';
import type { Answer, Attempt, Operation, Unwelcome } from './history.ts';
import { HttpClient, type Reply, type Send } from './http.ts';
import type { Profile } from './profile.ts';

/** Patience with one attempt: some are impatient, some wait longer than a statement may take. */
const timeoutsMs = [400, 2_000, 5_000, 15_000];

/** Longest delay of a hang-up: within the usual time of a request. */
const hangUpMsMax = 40;

export interface CallerOptions {
  readonly random: Random;
  readonly profile: Profile;
  /** Ports of the instances, through their links. */
  readonly ports: readonly number[];
  readonly apiKeys: ReadonlyMap<string, string>;
  /** Told of each final or other answer, for measuring recovery. */
  readonly onAnswer: (attempt: Attempt, answer: Answer) => void;
  readonly onUnwelcome: (reply: Unwelcome) => void;
}

interface Posting {
  readonly path: string;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  /** See {@link Unwelcome}. */
  readonly expected?: number;
}

/** Sends operations and writes down what came of each attempt. */
export class Caller {
  readonly http = new HttpClient();
  readonly #options: CallerOptions;

  constructor(options: CallerOptions) {
    this.#options = options;
  }

  get instances(): number {
    return this.#options.ports.length;
  }

  /** One sending; now and then several at once, to different instances. */
  async attempt(operation: Operation): Promise<void> {
    const { random, profile } = this.#options;
    const first = random.between(0, this.instances - 1);
    const copies = random.chance(profile.duplicateShare) ? random.between(2, 3) : 1;
    await Promise.all(
      Array.from({ length: copies }, (_, n) =>
        this.attemptAt(operation, (first + n) % this.instances),
      ),
    );
  }

  async attemptAt(operation: Operation, instance: number): Promise<void> {
    const attempt = openAttempt(instance);
    operation.attempts.push(attempt);
    const headers = { 'idempotency-key': `"${operation.key}"` };
    const { tenant, path, body } = operation;
    const reply = await this.post(tenant, instance, { path, body, headers });
    if (reply === undefined) return;
    const replayed = reply.headers['idempotent-replayed'] === 'true';
    this.#note(attempt, { ...reply, headers: headersText(reply), replayed });
  }

  /** Several operations of one tenant in one `/v1/batches`. */
  async attemptBatch(operations: readonly Operation[]): Promise<void> {
    const instance = this.#options.random.between(0, this.instances - 1);
    const attempts = operations.map((operation) => {
      const attempt = openAttempt(instance);
      operation.attempts.push(attempt);
      return attempt;
    });
    const tenant = operations[0]?.tenant ?? '';
    const commands = operations.map(entryOf);
    const path = '/v1/batches';
    const reply = await this.post(tenant, instance, { path, body: { commands }, expected: 200 });
    if (reply?.status !== 200) return;
    const { results } = JSON.parse(reply.body) as { results: { status: number; body: unknown }[] };
    const { onUnwelcome } = this.#options;
    if (results.length !== operations.length) {
      const request = `POST ${path} of ${operations.length} commands with ${results.length} results`;
      onUnwelcome({ ...reply, request, expected: undefined, retryAfter: null });
    }
    results.forEach(({ status, body }, at) => {
      const attempt = attempts[at];
      // Written by JSON.stringify on the other side: reading and writing it again gives its bytes.
      const text = JSON.stringify(body);
      if (attempt) this.#note(attempt, { status, body: text, headers: undefined });
      if (status < 400) return;
      const request = `a command of ${path}`;
      onUnwelcome({ request, expected: undefined, status, retryAfter: null, body: text });
    });
  }

  async post(
    tenant: string,
    instance: number,
    { path, body, headers, expected }: Posting,
  ): Promise<Reply | undefined> {
    const { random, profile } = this.#options;
    const send = {
      port: this.#port(instance),
      method: 'POST',
      path,
      headers: { ...this.#head(tenant), 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      timeoutMs: random.pick(timeoutsMs),
      hangUpMs: random.chance(profile.hangUpShare) ? random.between(0, hangUpMsMax) : undefined,
    };
    return this.#send(send, expected);
  }

  /** @param more expected: of a read, 200 by default */
  get(
    tenant: string,
    instance: number,
    path: string,
    { timeoutMs = 5_000, expected = 200 } = {},
  ): Promise<Reply | undefined> {
    const headers = this.#head(tenant);
    const send = { port: this.#port(instance), method: 'GET', path, headers, timeoutMs };
    return this.#send(send, expected);
  }

  async #send(send: Send, expected: number | undefined): Promise<Reply | undefined> {
    const reply = await this.http.send(send);
    if (reply === undefined) return undefined;
    const { status, headers, body } = reply;
    if (status >= 400 || (expected ?? status) !== status) {
      const request = `${send.method} ${send.path}`;
      const retryAfter = headers['retry-after'];
      this.#options.onUnwelcome({ request, expected, status, retryAfter, body });
    }
    return reply;
  }

  put(tenant: string, instance: number, path: string, body: unknown) {
    return this.http.send({
      port: this.#port(instance),
      method: 'PUT',
      path,
      headers: { ...this.#head(tenant), 'content-type': 'application/json' },
      body: JSON.stringify(body),
      timeoutMs: 10_000,
    });
  }

  #head(tenant: string): Record<string, string> {
    return { authorization: `Bearer ${this.#options.apiKeys.get(tenant)}` };
  }

  #port(instance: number): number {
    return this.#options.ports[instance] as number;
  }

  #note(attempt: Attempt, answer: Omit<Answer, 'at' | 'wall'>): void {
    attempt.answer = { at: performance.now(), wall: Date.now(), ...answer };
    this.#options.onAnswer(attempt, attempt.answer);
  }
}

function openAttempt(instance: number): Attempt {
  return { instance, sentAt: performance.now(), sentWall: Date.now() };
}

/** The headers that a repeat must carry again. */
function headersText({ headers }: Reply): string {
  const { location, 'content-type': type, etag } = headers;
  return [location, type, etag].map((value) => value ?? '-').join(' ');
}

function entryOf({ command, key, body }: Operation): Record<string, unknown> {
  const target =
    'reservation' in command
      ? { reservation: command.reservation }
      : command.type === 'reversal'
        ? { posting: command.posting }
        : {};
  return { type: command.type, idempotencyKey: key, ...target, ...body };
}
