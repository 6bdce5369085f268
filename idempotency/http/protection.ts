import {
  type Answer,
  headersFit,
  headersToRecord,
  type IdempotencyRecord,
  sameRecord,
} from '../answer.ts';
import type { ClaimStore } from '../claims/claim-store.ts';
import { fallbackClaims } from '../claims/fallback.ts';
import { memoryClaims } from '../claims/memory.ts';
import { BodyUnseen, ClaimsUnavailable, KeyMissing } from '../errors.ts';
import { fingerprint, rawFingerprint } from '../fingerprint.ts';
import { type HeaderFields, parseIdempotencyKey } from '../key.ts';
import { createIdempotency, type Idempotency, type RunResult } from '../layer.ts';
import { findRecords } from '../postgres/find-records.ts';
import { insertRecord } from '../postgres/insert-record.ts';
import type { Query } from '../postgres/query.ts';
import { type AnswerInput, toAnswer } from './answer-input.ts';
import { BodyTooLarge } from './body.ts';
import { endOfTurn } from './end-of-turn.ts';
import { type ProtectionOptions, type Settings, settingsOf } from './options.ts';

/** What an adapter knows about a request before its handler runs. */
export interface Incoming {
  method: string;
  path: string;
  query: string;
  headers: HeaderFields;
  rawHeaders?: readonly string[];
  /** Asked where there is a key: without one a body stays as it came, for whoever reads it then. */
  body: () => Body | Promise<Body>;
  scope: string;
}

/**
 * Parsed JSON, the exact bytes of anything else, or undefined when there is no body. One that the
 * adapter cannot see is `unseen`, and refused: two requests would count as one.
 */
export type Body = { json: unknown } | { raw: Uint8Array } | { unseen: true } | undefined;

/** What the handler answered, with all its headers. */
export interface Captured {
  status: number;
  headers: Record<string, unknown>;
  /** Undefined: longer than `answerBytesMax`, and already on its way. */
  body: Buffer | undefined;
  /**
   * Set when the headers were too long to keep: this is delivered once, and a repeat is told so.
   */
  unkept?: true;
}

export type Outcome =
  /** Send this; where `answer` is given, its status, headers and bytes win. */
  | { fresh: Captured; answer?: Answer }
  /** Send this alone; `replayed`: with the mark of a replay. */
  | { recorded: Answer; replayed: boolean };

/** What a handler finds at `request.idempotency`. */
export interface RequestIdempotency {
  readonly key: string;
  readonly scope: string;
  /** Aborted when another process took the claim over, or may have: it could not be renewed. */
  readonly signal: AbortSignal;
  /**
   * Writes the record through the transaction that holds the effect, so that both commit or
   * neither.
   *
   * Answer the request with what this returns, once the transaction committed.
   * @param tx a query function, or an object with one, of the open transaction
   * @throws a unique violation (23505) when the key was recorded meanwhile: let it roll back the
   * transaction and reach the layer, which answers with the recorded answer
   */
  record(tx: Query | { query: Query }, answer: AnswerInput): Promise<Answer>;
}

/** The layer as adapters use it, free of frameworks. */
export class Protection<Request = unknown> {
  readonly settings: Settings<Request>;
  readonly idempotency: Idempotency;
  private readonly claims: ClaimStore;

  constructor(options: ProtectionOptions<Request>) {
    this.settings = settingsOf(options);
    const { query, failOpen } = this.settings;
    const claims = options.claims ?? memoryClaims();
    this.claims = query ? fallbackClaims(claims, memoryClaims(), options) : claims;
    if (query && failOpen) throw new Error('failOpen is for layers without records only.');
    this.idempotency = createIdempotency({
      ...options,
      ...(options.duplicates === 'conflict' && { waitMs: 0 }),
      claims: this.claims,
      ...(query && { records: { find: (scope, key) => this.find(scope, key) } }),
    });
  }

  /** Whether requests of this method are protected. */
  covers(method: string): boolean {
    return this.settings.methods.has(method);
  }

  /**
   * Answers a request once.
   *
   * @param handle runs the handler and gives back what it answered
   * @throws IdempotencyError for the adapter to answer; whatever `handle` throws
   */
  async answer(
    incoming: Incoming,
    handle: (idempotency: RequestIdempotency | undefined) => Promise<Captured>,
  ): Promise<Outcome> {
    const { bodyBytesMax } = this.settings;
    // Also of what the framework read already, so that the bound does not depend on the framework.
    const length = Number(incoming.headers['content-length']);
    if (length > bodyBytesMax) throw new BodyTooLarge(bodyBytesMax);
    if (typeof incoming.scope !== 'string') throw new TypeError('`scope` must give a string.');
    const key = this.keyOf(incoming);
    if (key === undefined) return { fresh: await handle(undefined) };
    const found = incoming.body();
    const body = found instanceof Promise ? await found : found;
    if (body && 'raw' in body && body.raw.length > bodyBytesMax) {
      throw new BodyTooLarge(bodyBytesMax);
    }
    const print = fingerprintOf(incoming, body);
    const request = { scope: incoming.scope, key, fingerprint: print };
    let fresh: Captured | undefined;
    let handled = false;
    const capture = async (context: RequestIdempotency) => {
      handled = true;
      fresh = await handle(context);
      return fresh;
    };
    try {
      const { answer, replayed } = await this.idempotency.execute(request, (claim) =>
        this.run(new Context(this.settings, request, claim), capture),
      );
      await endOfTurn();
      if (fresh?.unkept && !replayed) return { fresh };
      const sent = fresh && (!fresh.body || fresh.status === answer.status);
      if (fresh && sent && !replayed) return { fresh, answer };
      return { recorded: answer, replayed };
    } catch (error) {
      const open = error instanceof ClaimsUnavailable && this.settings.failOpen;
      // A handler may throw the like itself, of a layer that it calls.
      if (!open || handled) throw error;
      return { fresh: await handle(undefined) };
    }
  }

  async close(): Promise<void> {
    await this.idempotency.close();
    await this.claims.close();
  }

  private keyOf(incoming: Incoming): string | undefined {
    try {
      return parseIdempotencyKey(incoming.headers, incoming.rawHeaders);
    } catch (error) {
      if (error instanceof KeyMissing && !this.settings.required) return undefined;
      throw error;
    }
  }

  private async run(
    context: Context,
    capture: (context: RequestIdempotency) => Promise<Captured>,
  ): Promise<RunResult> {
    const { scope, key } = context;
    const { query } = this.settings;
    const known = query && (await this.find(scope, key));
    if (known) return { record: known, replayed: true };
    let captured: Captured;
    try {
      captured = await capture(context);
    } catch (error) {
      // It may have committed before it failed, or lost to another process that did.
      const committed = await this.find(scope, key);
      if (committed) return this.afterwards(context, committed);
      throw error;
    }
    const { recorded } = context;
    if (recorded && isAnswer(recorded.answer, captured)) {
      return { record: recorded, replayed: false };
    }
    if (context.attempted) {
      // Other bytes than it recorded: it may have rolled back, and only the database knows.
      const committed = await this.find(scope, key);
      if (committed) return this.afterwards(context, committed);
    }
    // For an answer that the handler did not record with its effect.
    const answer = this.answerOf(captured);
    if (!this.settings.recorded(captured.status)) return { unrecorded: answer };
    const { fingerprint } = context;
    if (!query) return { record: { fingerprint, answer }, replayed: false };
    const record = { fingerprint, answer, expiresAt: Date.now() + this.settings.retentionMs };
    return (await this.insert(query, context, record)) ?? { record, replayed: false };
  }

  /** Ours, though the handler failed after its commit, or the one that another process wrote. */
  private afterwards({ recorded }: Context, committed: IdempotencyRecord): RunResult {
    const ours = recorded !== undefined && sameRecord(recorded, committed);
    return { record: committed, replayed: !ours };
  }

  /** @returns undefined, or what another process recorded meanwhile */
  private async insert(
    query: Query,
    { scope, key }: Context,
    record: IdempotencyRecord,
  ): Promise<RunResult | undefined> {
    try {
      await insertRecord(query, scope, key, record, this.settings.retentionMs);
      return undefined;
    } catch (error) {
      const other = await this.find(scope, key);
      if (!other) throw error;
      return { record: other, replayed: true };
    }
  }

  private answerOf(captured: Captured): Answer {
    const { status, body } = captured;
    if (!body) return tooLarge(status);
    const headers = headersToRecord(captured.headers, this.settings.headers);
    if (headersFit(headers)) return { status, headers, body };
    captured.unkept = true;
    return tooLarge(status);
  }

  private async find(scope: string, key: string): Promise<IdempotencyRecord | undefined> {
    const { query } = this.settings;
    return query && (await findRecords(query, scope, [key])).get(key);
  }
}

class Context implements RequestIdempotency {
  readonly scope: string;
  readonly key: string;
  readonly fingerprint: string;
  recorded: IdempotencyRecord | undefined;
  attempted = false;
  private readonly settings: Settings<never>;
  private readonly claim: { readonly signal: AbortSignal };

  constructor(
    settings: Settings<never>,
    request: { scope: string; key: string; fingerprint: string },
    claim: { readonly signal: AbortSignal },
  ) {
    this.settings = settings;
    this.claim = claim;
    this.scope = request.scope;
    this.key = request.key;
    this.fingerprint = request.fingerprint;
  }

  get signal(): AbortSignal {
    return this.claim.signal;
  }

  async record(tx: Query | { query: Query }, input: AnswerInput): Promise<Answer> {
    const { query, retentionMs, answerBytesMax, headers } = this.settings;
    if (!query) throw new Error('record(tx, answer) needs the `query` option.');
    const answer = toAnswer(input, headers);
    if (answer.body.length > answerBytesMax) {
      throw new Error(`The answer has more than ${answerBytesMax} bytes; the effect was not kept.`);
    }
    if (!headersFit(answer.headers)) {
      throw new Error('The answer has headers too long to keep; the effect was not kept.');
    }
    const { fingerprint } = this;
    const record = { fingerprint, answer, expiresAt: Date.now() + retentionMs };
    const through: Query = typeof tx === 'function' ? tx : (sql, params) => tx.query(sql, params);
    this.attempted = true;
    await insertRecord(through, this.scope, this.key, record, retentionMs);
    this.recorded = record;
    return answer;
  }
}

/** The status alone proves nothing: a handler may roll back and refuse with the same one. */
function isAnswer(recorded: Answer, { status, body }: Captured): boolean {
  return recorded.status === status && body?.equals(recorded.body) === true;
}

function fingerprintOf({ method, path, query }: Incoming, body: Body): string {
  if (body && 'raw' in body) return rawFingerprint({ method, path, query, body: body.raw });
  if (body && 'unseen' in body) throw new BodyUnseen();
  return fingerprint({ method, path, query, body: body?.json });
}

/** Stands in for an answer that was too large to keep: a repeat must neither run nor look new. */
function tooLarge(status: number): Answer {
  const problem = {
    type: 'about:blank',
    title: 'The answer was not kept',
    status: 409,
    code: 'answer-not-kept',
    detail: `The request took effect and was answered ${status}; the answer was too large to keep.`,
  };
  const headers = { 'content-type': 'application/problem+json' };
  return { status: 409, headers, body: Buffer.from(JSON.stringify(problem)) };
}
