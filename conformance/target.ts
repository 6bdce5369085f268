import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { type Exchange, type HeaderLines, type Received, send } from './exchange.ts';
import { alter, reorder } from './json-body.ts';

export interface TargetOptions {
  url: string;
  /** Default POST. */
  method?: string;
  /** A JSON body that the API accepts. */
  body: unknown;
  headers?: HeaderLines;
  /** Header of a second caller, for tenant isolation. */
  secondCredential?: readonly [string, string];
  /** JSON pointer of a value that may differ between requests (a reference, a note). */
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
  body?: 'same' | 'altered' | 'reordered' | 'failing';
  bytes?: Buffer;
  url?: string;
  secondCredential?: boolean;
  hangUp?: 'after-request' | 'mid-body';
}

export class Stopped extends Error {}

/** The API under check, with the limits of the run. */
export class Target {
  readonly options: TargetOptions;
  /** What is sent and received within the current check. */
  evidence: Exchange[] = [];
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
    if (++this.sent > (this.options.requestsMax ?? 1_000)) throw new Stopped('too many requests');
    if (performance.now() > this.deadline) throw new Stopped('the time limit is over');
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
    return Promise.all(variations.map((variation) => this.send(variation, false)));
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
    const { received } = await send({ method: 'GET', url: observe, headers, body }, { timeoutMs });
    const value: unknown = JSON.parse(received?.body.toString() ?? '');
    const steps = (observePointer ?? '').split('/').slice(1);
    const seen = Number(steps.reduce((at, step) => (at as Record<string, unknown>)?.[step], value));
    if (!Number.isFinite(seen)) throw new Error(`${observe} shows no number`);
    return seen;
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
    if (body === 'altered') return Buffer.from(JSON.stringify(alter(options.body, options.vary)));
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

/** Same status and same bytes. */
export function sameAnswer(one: Received, two: Received): boolean {
  return one.status === two.status && one.body.equals(two.body);
}

export function marked(received: Received): boolean {
  return String(received.headers['idempotent-replayed']).toLowerCase() === 'true';
}
