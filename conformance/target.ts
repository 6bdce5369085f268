import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import {
  type Exchange,
  type HeaderLines,
  type Received,
  send,
  withoutCredential,
} from './exchange.ts';
import { reorder } from './json-body.ts';

export interface TargetOptions {
  url: string;
  /** Default POST. */
  method?: string;
  /** A JSON body that the API accepts. */
  body: unknown;
  headers?: HeaderLines;
  /** Header of a second caller, for tenant isolation. */
  secondCredential?: readonly [string, string];
  /**
   * JSON pointer of a value that may differ between requests (a reference, a note). Default: the
   * first with which the API takes the request.
   */
  vary?: string;
  /** Another route that accepts the same body. */
  otherUrl?: string;
  /** A body that makes the API fail. */
  failingBody?: unknown;
  /** Whether the API takes any bytes as `application/octet-stream` at this URL. */
  binary?: boolean;
  /** A GET that shows the effect as a number: itself, or at `observePointer` of its JSON. */
  observe?: string;
  observePointer?: string;
  keyOptional?: boolean;
  /** Requests per second. Default 200. Bursts of concurrent duplicates count but are not spread. */
  rate?: number;
  /** Default 1 000; a run takes about 150. */
  requestsMax?: number;
  /** The whole run, in seconds. Default 120. */
  timeLimitSeconds?: number;
  /** How long a 409 is retried before it counts as the answer, in milliseconds. Default 5 000. */
  settleMs?: number;
  /** One answer, in milliseconds. Default 10 000. */
  timeoutMs?: number;
}

/** What one request of a check differs in. */
export interface Variation {
  key?: string | undefined;
  /** Header lines instead of the one with the key. */
  keyLines?: HeaderLines;
  body?: 'same' | 'altered' | 'reordered' | 'failing' | { json: unknown };
  bytes?: Buffer;
  url?: string;
  secondCredential?: boolean;
  hangUp?: 'after-request' | 'mid-body';
}

/** A limit of the run was reached. */
export class Stopped extends Error {}

/** A check needs what this API or these options do not give. */
export class NotApplicable extends Error {}

/** The API could not be checked at all; the message says what to do. */
export class NotCheckable extends Error {}

/** The API under check, with the limits of the run. */
export class Target {
  readonly options: TargetOptions;
  /** What is sent and received within the current check. */
  evidence: Exchange[] = [];
  /** A body that the API takes as well, or why there is none. */
  altered: { body: unknown } | { reason: string } = { reason: 'the body was not varied' };
  private readonly deadline: number;
  private sent = 0;
  private nextAt = 0;

  constructor(options: TargetOptions) {
    this.options = options;
    this.deadline = performance.now() + (options.timeLimitSeconds ?? 120) * 1_000;
  }

  newKey(): string {
    return randomUUID();
  }

  /** Sends the request of the run, varied. @throws Stopped at the limits of the run */
  async send(variation: Variation, paced = true): Promise<Exchange> {
    const { requestsMax = 1_000, timeLimitSeconds = 120 } = this.options;
    if (this.sent >= requestsMax) throw new Stopped(`the limit of ${requestsMax} requests`);
    if (performance.now() > this.deadline) throw new Stopped(`the limit of ${timeLimitSeconds} s`);
    this.sent++;
    if (paced) await this.pace();
    const { method = 'POST', url, timeoutMs = 10_000 } = this.options;
    const exchange = await send(
      {
        method,
        url: variation.url ?? url,
        headers: this.headersOf(variation),
        body: variation.bytes ?? this.bodyOf(variation),
      },
      { timeoutMs, ...(variation.hangUp && { hangUp: variation.hangUp }) },
    );
    if (this.evidence.length < 60) this.evidence.push(exchange);
    return exchange;
  }

  /** Sends copies at the same time. */
  burst(variations: readonly Variation[]): Promise<Exchange[]> {
    return all(variations.map((variation) => this.send(variation, false)));
  }

  /** Repeats while the answer is 409, for up to `settleMs`: an honest retry. */
  async settle(variation: Variation): Promise<Exchange> {
    const until = performance.now() + (this.options.settleMs ?? 5_000);
    let exchange = await this.send(variation);
    while (exchange.received?.status === 409 && performance.now() < until) {
      await setTimeout(Math.min(200, (this.options.settleMs ?? 5_000) / 5));
      exchange = await this.send(variation);
    }
    return exchange;
  }

  /** The number that shows the effect, undefined when none was given. */
  async observe(): Promise<number | undefined> {
    const { observe, observePointer, headers = [], timeoutMs = 10_000 } = this.options;
    if (!observe) return undefined;
    const body = Buffer.alloc(0);
    const outgoing = { method: 'GET', url: observe, headers, body };
    const { received, error } = await send(outgoing, { timeoutMs });
    const text = received?.body.toString() ?? '';
    const seen = numberAt(text, observePointer ?? '');
    if (seen !== undefined) return seen;
    const answer = received ? `${received.status} ${text.slice(0, 200)}` : error;
    const where = observePointer ? ` at '${observePointer}'` : '';
    throw new NotCheckable(
      `${withoutCredential(observe)} must show a number${where}, but got ${answer}`,
    );
  }

  private headersOf(variation: Variation): HeaderLines {
    const { headers = [], secondCredential } = this.options;
    const type: [string, string] = [
      'Content-Type',
      variation.bytes ? 'application/octet-stream' : 'application/json',
    ];
    const key = variation.key === undefined ? [] : ([['Idempotency-Key', variation.key]] as const);
    const lines = [type, ...headers, ...(variation.keyLines ?? key)] as HeaderLines;
    if (!variation.secondCredential || !secondCredential) return lines;
    const name = secondCredential[0].toLowerCase();
    return [...lines.filter((line) => line[0].toLowerCase() !== name), secondCredential];
  }

  private bodyOf({ body = 'same' }: Variation): Buffer {
    const { options } = this;
    if (body === 'failing') return Buffer.from(JSON.stringify(options.failingBody));
    if (typeof body === 'object') return Buffer.from(JSON.stringify(body.json));
    if (body === 'altered') {
      if ('reason' in this.altered) throw new NotApplicable(this.altered.reason);
      return Buffer.from(JSON.stringify(this.altered.body));
    }
    if (body === 'reordered') return Buffer.from(reorder(options.body));
    return Buffer.from(JSON.stringify(options.body));
  }

  private async pace(): Promise<void> {
    const now = performance.now();
    const at = Math.max(now, this.nextAt);
    this.nextAt = at + 1_000 / (this.options.rate ?? 200);
    if (at > now) await setTimeout(at - now);
  }
}

/** Waits for all also when one fails, so that none has its effect during the next check. */
export async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

function numberAt(text: string, pointer: string): number | undefined {
  try {
    const steps = pointer.split('/').slice(1);
    const seen = steps.reduce(
      (at, step) => (at as Record<string, unknown>)[step],
      JSON.parse(text),
    );
    return Number.isFinite(seen) ? seen : undefined;
  } catch {
    return undefined;
  }
}

/** Same status and same bytes. */
export function sameAnswer(one: Received, two: Received): boolean {
  return one.status === two.status && one.body.equals(two.body);
}

export function marked(received: Received): boolean {
  return String(received.headers['idempotent-replayed']).toLowerCase() === 'true';
}
