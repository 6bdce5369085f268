import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';

/** Faults found in published idempotency layers, one per server. */
export type Defect =
  | 'unprotected-route'
  | 'check-then-run'
  | 'unprotected-while-store-is-down'
  | 'conflict-on-repeat'
  | 'keys-not-scoped'
  | 'mismatch-overwrites-answer'
  | 'errors-for-duplicates'
  | 'replay-drops-headers'
  | 'replay-keeps-cookie'
  | 'claim-stays-after-hang-up'
  | 'own-claim-refused-on-resend'
  | 'slow-owner-overwrites'
  | 'reruns-after-throw'
  | 'reruns-after-crash'
  | 'in-flight-before-fingerprint'
  | 'quoted-is-another-key'
  | 'binary-read-as-text'
  | 'body-only-fingerprint'
  | 'member-order-counts'
  | 'cuts-long-keys'
  | 'picks-one-of-two-headers'
  | 'no-replay-mark'
  | 'key-not-required';

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

interface Entry {
  fingerprint: string;
  since: number;
  /** A duplicate came while it ran. */
  contended?: true;
  answer?: Answer;
}

interface Call {
  path: string;
  key: string;
  caller: string;
  body: Buffer;
  type: string;
}

/** How long an execution takes, in milliseconds, so that duplicates meet it in flight. */
const workMs = 25;
/**
 * The lease of the server whose owners are not compared, and its work: so much longer that
 * duplicates come between the two also on a machine that stalls.
 */
const shortLeaseMs = 10;
const slowWorkMs = 150;

/**
 * A small API with an idempotency layer in memory, right except for one defect.
 *
 * Written apart from the package, so that checker and package cannot share a mistake.
 */
export class BrokenServer {
  private readonly defect: Defect | undefined;
  private readonly entries = new Map<string, Entry>();
  private readonly server = createServer((req, res) => void this.serve(req, res));
  private effects = 0;

  private constructor(defect: Defect | undefined) {
    this.defect = defect;
  }

  /** @param defect undefined: none */
  static async start(defect?: Defect): Promise<BrokenServer> {
    const server = new BrokenServer(defect);
    server.server.listen(0, '127.0.0.1');
    await once(server.server, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.method === 'GET') return void res.end(String(this.effects));
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of req) chunks.push(chunk);
    } catch {
      return;
    }
    const key = this.keyOf(req);
    const call: Call = {
      path: req.url ?? '/',
      key: key ?? '',
      caller: req.headers.authorization ?? '',
      body: Buffer.concat(chunks),
      type: req.headers['content-type'] ?? '',
    };
    if (key === '') return reply(res, problem(400));
    if (key === undefined || this.defect === 'unprotected-route') {
      return reply(res, await this.work(call));
    }
    return this.protect(call, res);
  }

  /** @returns '' when it is invalid, undefined when the request may do without */
  private keyOf(req: IncomingMessage): string | undefined {
    const all = req.headersDistinct['idempotency-key'] ?? [];
    if (all.length === 0 && this.defect === 'key-not-required') return undefined;
    if (all.length > 1 && this.defect !== 'picks-one-of-two-headers') return '';
    let key = all[0] ?? '';
    if (/^"[^"]+"$/.test(key) && this.defect !== 'quoted-is-another-key') key = key.slice(1, -1);
    else if (key.includes('"') && this.defect !== 'quoted-is-another-key') return '';
    if (!/^[\x21-\x7e]+$/.test(key) || key === '""' || /^"[^"]*$/.test(key)) return '';
    if (this.defect === 'cuts-long-keys') return key.slice(0, 255);
    return key.length > 255 ? '' : key;
  }

  private async protect(call: Call, res: ServerResponse): Promise<void> {
    const scope = this.defect === 'keys-not-scoped' ? '' : call.caller;
    const id = JSON.stringify([scope, call.key]);
    const print = this.fingerprint(call);
    for (;;) {
      const entry = this.entries.get(id);
      if (!entry) break;
      const running = !entry.answer;
      if (entry.fingerprint !== print) {
        const early = running && this.defect === 'in-flight-before-fingerprint';
        if (this.defect === 'mismatch-overwrites-answer') entry.answer = problem(422);
        return reply(res, problem(early ? 409 : 422));
      }
      if (!running) return this.replay(res, entry.answer as Answer);
      if (this.defect === 'errors-for-duplicates') return reply(res, problem(500));
      const lapsed = Date.now() - entry.since > shortLeaseMs;
      if (this.defect === 'slow-owner-overwrites' && lapsed) break;
      entry.contended = true;
      const refuses: Defect[] = ['claim-stays-after-hang-up', 'own-claim-refused-on-resend'];
      if (this.defect && refuses.includes(this.defect)) return reply(res, problem(409));
      await setTimeout(2);
    }
    await this.execute(call, id, print, res);
  }

  private async execute(call: Call, id: string, print: string, res: ServerResponse): Promise<void> {
    const entry: Entry = { fingerprint: print, since: Date.now() };
    if (this.defect === 'check-then-run') {
      const answer = await this.work(call);
      this.entries.set(id, { ...entry, answer });
      return reply(res, answer);
    }
    this.entries.set(id, entry);
    if (this.defect === 'own-claim-refused-on-resend') {
      // Where much comes at once, the reply to the claim is lost; sent again, it meets itself.
      await setTimeout(workMs);
      if (entry.contended) return reply(res, problem(409));
    }
    const answer = await this.work(call);
    if (this.defect === 'claim-stays-after-hang-up' && res.destroyed) return;
    const fails = call.body.includes('"fail":true');
    if (fails && this.defect === 'reruns-after-crash') {
      this.entries.delete(id);
      res.destroy();
      return;
    }
    if (fails && this.defect === 'reruns-after-throw') this.entries.delete(id);
    else if (this.defect === 'unprotected-while-store-is-down') this.entries.delete(id);
    else if (this.defect === 'slow-owner-overwrites') this.entries.set(id, { ...entry, answer });
    else entry.answer = answer;
    reply(res, fails ? problem(500) : answer);
  }

  private replay(res: ServerResponse, answer: Answer): void {
    if (this.defect === 'conflict-on-repeat') {
      reply(res, problem(409));
      return;
    }
    const { 'set-cookie': cookie, ...kept } = answer.headers;
    const headers: Record<string, string> =
      this.defect === 'replay-drops-headers' ? { 'content-type': 'text/plain' } : { ...kept };
    if (this.defect === 'replay-keeps-cookie' && cookie) headers['set-cookie'] = cookie;
    if (this.defect !== 'no-replay-mark') headers['idempotent-replayed'] = 'true';
    reply(res, { ...answer, headers });
  }

  /** The effect, then the answer. */
  private async work(call: Call): Promise<Answer> {
    await setTimeout(this.defect === 'slow-owner-overwrites' ? slowWorkMs : workMs);
    const id = ++this.effects;
    const headers = {
      'content-type': 'application/json',
      location: `${call.path}/${id}`,
      etag: `"${id}"`,
      'set-cookie': `session=${id}`,
    };
    return { status: 201, headers, body: JSON.stringify({ id, bytes: call.body.length }) };
  }

  private fingerprint({ path, body, type }: Call): string {
    const hash = createHash('sha256');
    if (this.defect !== 'body-only-fingerprint') hash.update(path);
    if (!type.includes('json')) {
      return hash
        .update(this.defect === 'binary-read-as-text' ? body.toString() : body)
        .digest('hex');
    }
    const json: unknown = JSON.parse(body.toString());
    const ordered = this.defect === 'member-order-counts' ? json : sorted(json);
    return hash.update(JSON.stringify(ordered)).digest('hex');
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [two]) => (one < two ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}

function problem(status: number): Answer {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (status === 409) headers['retry-after'] = '1';
  return { status, headers, body: JSON.stringify({ status }) };
}

function reply(res: ServerResponse, { status, headers, body }: Answer): void {
  res.writeHead(status, headers);
  res.end(body);
}
