import { type OutgoingHttpHeaders, type ServerResponse, validateHeaderValue } from 'node:http';
import type { Answer } from '../answer.ts';
import type { Captured, Outcome } from './protection.ts';

/** What Node's own methods take, whichever way they are called. */
interface Originals {
  writeHead(...args: unknown[]): ServerResponse;
  write(...args: unknown[]): boolean;
  end(...args: unknown[]): ServerResponse;
  flushHeaders(): void;
}

/**
 * Holds a response back until it is known whether and how it is recorded.
 *
 * Works below the framework, so that `res.json`, pipes, raw writes and hijacked replies are all
 * seen. An answer that outgrows `answerBytesMax` is let through as it comes. The first `end`
 * counts: what an error handler answers after it is dropped, as Node would refuse it on a response
 * that was sent. What it answers before it, with a head of its own, takes the place of what the
 * handler had begun.
 */
export class Capture {
  /** Resolves when the handler ended its response or outgrew the limit. */
  readonly captured: Promise<Captured>;
  private readonly res: ServerResponse;
  private readonly bytesMax: number;
  private readonly abandonedMs: number;
  private readonly replayed: readonly string[];
  private readonly before: OutgoingHttpHeaders;
  private readonly originals: Originals;
  private readonly chunks: Buffer[] = [];
  private readonly callbacks: (() => void)[] = [];
  private extra: OutgoingHttpHeaders = {};
  /** Status and headers of the response when its head would have been sent. */
  private head: { status: number; headers: OutgoingHttpHeaders } | undefined;
  private bytes = 0;
  private ended = false;
  /** Something answered again, and may have changed the headers. */
  private answeredAgain = false;
  private settled = false;
  /** Outgrown: what is written goes straight to the client. */
  private through = false;
  private resolve!: (captured: Captured) => void;
  private reject!: (error: Error) => void;

  constructor(
    res: ServerResponse,
    settings: { answerBytesMax: number; abandonedMs: number; headers: readonly string[] },
  ) {
    this.res = res;
    this.bytesMax = settings.answerBytesMax;
    this.abandonedMs = settings.abandonedMs;
    this.replayed = settings.headers;
    this.captured = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.before = res.getHeaders();
    const { writeHead, write, end, flushHeaders } = res;
    this.originals = { writeHead, write, end, flushHeaders } as Originals;
    Object.assign(res, { writeHead: this.writeHead, write: this.write, end: this.end });
    res.flushHeaders = ignore;
    // It may have hung up while the key was claimed: no event would ever come.
    if (res.closed || res.destroyed) this.onClose();
    else res.once('close', this.onClose);
  }

  /** Sends what the outcome says, for real. */
  send(outcome: Outcome): void {
    const { res } = this;
    this.restore();
    if ('recorded' in outcome) {
      this.forgetHeaders();
      sendRecorded(res, outcome);
      return;
    }
    const { fresh, answer } = outcome;
    // Outgrown: it is already on its way.
    if (!fresh.body) return;
    if (this.answeredAgain) {
      this.forgetHeaders();
      this.extra = { ...(fresh.headers as OutgoingHttpHeaders) };
    }
    if (answer) this.forgetUnrecorded(answer);
    const headers = answer ? { ...this.extra, ...answer.headers } : this.extra;
    const body = answer?.body ?? fresh.body;
    const status = answer?.status ?? fresh.status;
    const length = headers['content-length'] ?? res.getHeader('content-length');
    // A client would take what is beyond a length for the next answer, or wait for what is missing.
    const wrong = length !== undefined && Number(length) !== body.length;
    if (wrong && status !== 304) headers['content-length'] = body.length;
    res.writeHead(status, headers);
    endWith(res, body);
    for (const callback of this.callbacks) callback();
  }

  /** Gives the response back untouched, for an error answer. */
  restore(): void {
    // Once: what wraps the response may have taken itself off it since.
    if (this.settled) return;
    this.settled = true;
    // Assigned, not deleted: a response without its hidden class is slow in everything that
    // follows.
    Object.assign(this.res, this.originals);
    this.res.off('close', this.onClose);
  }

  /** As {@link restore}, but what wraps the response, a compression say, is still at work. */
  private restoreUnwrapped(): void {
    this.settled = true;
    const { res, originals } = this;
    for (const name of ['writeHead', 'write', 'end'] as const) {
      if (res[name] === this[name]) Object.assign(res, { [name]: originals[name] });
    }
    res.flushHeaders = originals.flushHeaders;
    res.off('close', this.onClose);
  }

  /** A handler that failed may have set a cookie or a location that the replay must not carry. */
  forgetHeaders(): void {
    if (this.res.headersSent) return;
    for (const name of this.res.getHeaderNames()) this.res.removeHeader(name);
    for (const [name, value] of Object.entries(this.before)) {
      if (value !== undefined) this.res.setHeader(name, value);
    }
  }

  /** What a framework added to a recorded answer, an ETag of its own say, no replay would have. */
  private forgetUnrecorded(answer: Answer): void {
    for (const name of this.replayed) {
      if (answer.headers[name] !== undefined) continue;
      this.res.removeHeader(name);
      delete this.extra[name];
    }
  }

  /** Also settled: what a failed handler still writes is no part of the answer to its failure. */
  private get over(): boolean {
    return this.ended || this.settled;
  }

  private readonly writeHead = (status: number, ...rest: unknown[]): ServerResponse => {
    if (this.through) return this.originals.writeHead.call(this.res, status, ...rest);
    if (this.over) return this.res;
    this.startOver();
    this.res.statusCode = status;
    const headers = rest.at(-1);
    if (Array.isArray(headers)) this.addPairs(headers);
    else if (typeof headers === 'object' && headers !== null) {
      for (const [name, value] of Object.entries(headers)) this.addHeader(name, value);
    }
    this.head = { status, headers: this.res.getHeaders() };
    return this.res;
  };

  private readonly write = (chunk: unknown, ...rest: unknown[]): boolean => {
    if (this.through) return this.originals.write.call(this.res, chunk, ...rest);
    const written = rest.find((value) => typeof value === 'function');
    // Or a handler that waits for it would never come to its end.
    if (written) process.nextTick(written as () => void);
    if (this.over) return true;
    this.begin();
    this.add(chunk, rest);
    if (this.bytes > this.bytesMax) this.letThrough();
    return true;
  };

  private readonly end = (...args: unknown[]): ServerResponse => {
    if (this.through) return this.originals.end.apply(this.res, args);
    const [chunk, ...rest] = typeof args[0] === 'function' ? [undefined, ...args] : args;
    const callback = rest.find((value) => typeof value === 'function');
    if (callback) this.callbacks.push(callback as () => void);
    if (this.over) {
      this.answeredAgain = true;
      return this.res;
    }
    this.begin();
    const { statusCode } = this.res;
    if (statusCode < 200 || statusCode > 999) {
      throw new RangeError(`An answer cannot have the status ${statusCode}.`);
    }
    this.add(chunk, rest);
    if (this.bytes > this.bytesMax) {
      this.letThrough();
      return this.originals.end.call(this.res);
    }
    const headers = { ...this.res.getHeaders(), ...this.extra };
    const body = this.chunks.length === 1 ? (this.chunks[0] as Buffer) : Buffer.concat(this.chunks);
    this.ended = true;
    this.res.off('close', this.onClose);
    this.resolve({ status: this.res.statusCode, headers, body });
    return this.res;
  };

  /** As Node's own write and end do, so that what hooks writeHead (a session, say) has its turn. */
  private begin(): void {
    if (this.head && this.headChanged(this.head)) this.startOver();
    if (!this.head) this.res.writeHead(this.res.statusCode);
  }

  /**
   * What Node allows on no response that has begun: something else answers now, since the handler
   * failed within its own answer, which was sent to nobody yet.
   */
  private headChanged({
    status,
    headers,
  }: {
    status: number;
    headers: OutgoingHttpHeaders;
  }): boolean {
    if (this.res.statusCode !== status) return true;
    const now = this.res.getHeaders();
    const names = Object.keys(now);
    if (names.length !== Object.keys(headers).length) return true;
    return names.some((name) => now[name] !== headers[name]);
  }

  /** Forgets what was begun: two answers in one would be neither, and longer than either says. */
  private startOver(): void {
    this.head = undefined;
    this.extra = {};
    this.chunks.length = 0;
    this.bytes = 0;
  }

  private add(chunk: unknown, rest: unknown[]): void {
    if (chunk === undefined || chunk === null) return;
    const encoding = typeof rest[0] === 'string' ? (rest[0] as BufferEncoding) : 'utf8';
    const bytes =
      typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk as Uint8Array);
    this.bytes += bytes.length;
    this.chunks.push(bytes);
  }

  /** Names and values in turn, or pairs of them; as in Node, a name may come more than once. */
  private addPairs(pairs: readonly unknown[]): void {
    const flat = Array.isArray(pairs[0]) ? pairs.flat() : pairs;
    const named = new Map<string, unknown>();
    for (let i = 0; i < flat.length; i += 2) {
      const name = String(flat[i]).toLowerCase();
      named.set(name, named.has(name) ? [named.get(name), flat[i + 1]].flat() : flat[i + 1]);
    }
    for (const [name, value] of named) this.addHeader(name, value);
  }

  /** Refuses at once what Node would, since the handler could not be told once it is recorded. */
  private addHeader(name: string, value: unknown): void {
    validateHeaderValue(name, value as string);
    this.extra[name.toLowerCase()] = value as string;
  }

  private letThrough(): void {
    const { res, originals } = this;
    this.through = true;
    this.restoreUnwrapped();
    originals.writeHead.call(res, res.statusCode, this.extra);
    for (const chunk of this.chunks.splice(0)) originals.write.call(res, chunk);
    for (const callback of this.callbacks.splice(0)) callback();
    const headers = { ...res.getHeaders(), ...this.extra };
    this.resolve({ status: res.statusCode, headers, body: undefined });
  }

  /** The client is gone, the handler is not: it may still take effect and answer. */
  private readonly onClose = (): void => {
    const timer = setTimeout(() => {
      this.reject(new Error('The handler did not answer after its client hung up.'));
    }, this.abandonedMs).unref();
    this.captured.finally(() => clearTimeout(timer)).catch(() => {});
  };
}

function ignore(): void {}

/** Sends a recorded answer, with `others` as headers where it has none of that name. */
export function sendRecorded(
  res: ServerResponse,
  { recorded, replayed }: Extract<Outcome, { recorded: unknown }>,
  others?: OutgoingHttpHeaders,
): void {
  const { status, body } = recorded;
  // A 204 must not have a length (RFC 9110, 8.6); a 304 would tell the one of what it stands for.
  const length = status !== 204 && status !== 304 && { 'content-length': body.length };
  const mark = replayed && { 'idempotent-replayed': 'true' };
  res.writeHead(status, { ...others, ...recorded.headers, ...length, ...mark });
  endWith(res, body);
}

/** Largest body that is sent as a string, in bytes. */
const joinedBytesMax = 16 * 1024;

/**
 * Node joins a header and a string into one write, but needs a gathering one for a Buffer, which
 * took a quarter of all CPU. Latin-1 maps every byte to itself.
 */
function endWith(res: ServerResponse, body: Buffer): void {
  if (body.length > joinedBytesMax) res.end(body);
  else res.end(body.toString('latin1'), 'latin1');
}
