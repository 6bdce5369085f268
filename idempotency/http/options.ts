import { METHODS } from 'node:http';
import { replayedHeaders } from '../answer.ts';
import type { ClaimStore } from '../claims/claim-store.ts';
import type { FallbackOptions } from '../claims/fallback.ts';
import type { IdempotencyOptions } from '../layer.ts';
import type { Query } from '../postgres/query.ts';

/** Settings of an adapter. Exactly one of `scope` and `singleTenant` must be given. */
export interface ProtectionOptions<Request>
  extends Omit<IdempotencyOptions, 'claims' | 'records'>,
    FallbackOptions {
  /** Where claims are kept. Default: this process's memory, enough for a single process. */
  claims?: ClaimStore;
  /**
   * Whose key it is, from what authentication established: a tenant, an account. Keys of two scopes
   * never meet; without it one client's key would fetch another client's answer.
   */
  scope?: (request: Request) => string | Promise<string>;
  /** States that all callers may share one space of keys. Default false. */
  singleTenant?: boolean;
  /**
   * Runs statements on the database that keeps the records, outside any transaction. With it the
   * layer is in its transactional mode: the claim store may fail without a request failing. Without
   * it, claims are the only memory: for effects outside a database; 503 while the store is gone.
   */
  query?: Query;
  /**
   * How long a record, or without `query` the answer in the claim store, is kept at least, in
   * milliseconds. Default 86 400 000 (24 h, as Stripe).
   */
  retentionMs?: number;
  /** Without `query` only: run unprotected while the claim store is gone or full. Default false. */
  failOpen?: boolean;
  /** Refuse requests without a key (400). Default true: a client that forgot it is unprotected. */
  required?: boolean;
  /**
   * Methods that are protected, in capitals or not; what is none of Node's stops the start. Default
   * POST and PATCH: the others are idempotent by themselves.
   */
  methods?: readonly string[];
  /**
   * What a duplicate in flight does. Default `wait` (up to `waitMs`); `conflict` answers 409 at
   * once.
   */
  duplicates?: 'wait' | 'conflict';
  /**
   * Whether an answer with this status is recorded when the handler did not record it itself.
   * Default: all but 400, 401, 403, 408, 413, 415, 422, 425, 429 and 5xx, which a retry may change.
   */
  recorded?: (status: number) => boolean;
  /** Headers that a replay repeats. Default location, content-type, etag and content-encoding. */
  headers?: readonly string[];
  /**
   * Largest request body that is read, in bytes; beyond it 413 before the handler. Default 1 MiB.
   */
  bodyBytesMax?: number;
  /**
   * Largest answer that is kept, in bytes. Default 1 MiB. A larger one is delivered once; a repeat
   * gets `409 answer-not-kept` and never runs again.
   */
  answerBytesMax?: number;
  /**
   * How long a handler may go on after its client hung up, in milliseconds. Default 300 000. Then
   * its key is freed, which a handler that never answers would hold for ever. Too short is worse:
   * the retry would run beside it.
   */
  abandonedMs?: number;
}

export interface Settings<Request> {
  scope: (request: Request) => string | Promise<string>;
  query: Query | undefined;
  retentionMs: number;
  failOpen: boolean;
  required: boolean;
  methods: ReadonlySet<string>;
  recorded: (status: number) => boolean;
  headers: readonly string[];
  bodyBytesMax: number;
  answerBytesMax: number;
  abandonedMs: number;
}

const unrecorded = new Set([400, 401, 403, 408, 413, 415, 422, 425, 429]);

/** @throws when neither `scope` nor `singleTenant` says whose keys they are, or a method is none */
export function settingsOf<Request>(options: ProtectionOptions<Request>): Settings<Request> {
  if (!options.scope && !options.singleTenant) {
    throw new Error(
      'Idempotency needs `scope`, a function that tells whose key it is, or `singleTenant: true`.',
    );
  }
  return {
    scope: options.scope ?? (() => ''),
    query: options.query,
    retentionMs: options.retentionMs ?? 86_400_000,
    failOpen: options.failOpen ?? false,
    required: options.required ?? true,
    methods: methodsOf(options.methods ?? ['POST', 'PATCH']),
    recorded: options.recorded ?? ((status) => status < 500 && !unrecorded.has(status)),
    // The encoding says what the bytes mean, so bytes and encoding are kept together.
    headers: options.headers ?? [...replayedHeaders, 'content-encoding'],
    bodyBytesMax: options.bodyBytesMax ?? 1024 * 1024,
    answerBytesMax: options.answerBytesMax ?? 1024 * 1024,
    abandonedMs: options.abandonedMs ?? 300_000,
  };
}

/** As requests have them. One that never comes would protect nothing, and nobody would notice. */
function methodsOf(names: readonly string[]): ReadonlySet<string> {
  const methods = names.map((name) => String(name).toUpperCase());
  const unknown = methods.findIndex((method) => !METHODS.includes(method));
  if (unknown === -1) return new Set(methods);
  throw new Error(`\`methods\` has "${names[unknown]}", which is no HTTP method.`);
}
