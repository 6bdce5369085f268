/**
 * The catalogue of everything that the API refuses: one stable code each, which clients match on.
 * `docs/errors.md` and `/problems/<code>` are made from it.
 */

interface CatalogueEntry {
  readonly status: number;
  readonly title: string;
  /** What it means and what the caller can do. */
  readonly explanation: string;
  /** Whether the same request may succeed later, without a change. */
  readonly retryable: boolean;
}

export const catalogue = {
  'validation-failed': {
    status: 400,
    title: 'The request is not valid',
    explanation:
      'The body, a parameter or a header breaks a rule of the API description. `errors` names each fault by its JSON path. Nothing was done; correct the request. A fault that only the stock can tell (an expiry that is already over) is recorded under its key: send the correction under a new one. After any other, the key is still free.',
    retryable: false,
  },
  'idempotency-key-missing': {
    status: 400,
    title: 'The Idempotency-Key header is missing',
    explanation:
      'Every stock command needs an `Idempotency-Key`, so that it can be sent again without counting twice. Make one key per intended effect, for instance a UUID, and send it with every attempt.',
    retryable: false,
  },
  'idempotency-key-invalid': {
    status: 400,
    title: 'The Idempotency-Key header is malformed',
    explanation:
      'A key is 1 to 255 visible ASCII characters, as a quoted string (RFC 9651) or bare, sent once.',
    retryable: false,
  },
  unauthenticated: {
    status: 401,
    title: 'The API key is missing or unknown',
    explanation: 'Send `Authorization: Bearer <API key>` with a key that is not revoked.',
    retryable: false,
  },
  forbidden: {
    status: 403,
    title: 'The role of the API key does not allow this',
    explanation:
      'Readers read, writers also post and register, admins also verify the ledger and list and release locks.',
    retryable: false,
  },
  'unknown-warehouse': {
    status: 404,
    title: 'The warehouse is not registered',
    explanation: 'Register it with `PUT /v1/warehouses/{warehouse}` first.',
    retryable: false,
  },
  'unknown-product': {
    status: 404,
    title: 'A product is not registered',
    explanation: 'Register it with `PUT /v1/products/{product}` first. `products` names them.',
    retryable: false,
  },
  'not-found': {
    status: 404,
    title: 'There is nothing at this address',
    explanation: 'The route, or the posting, reservation, key or lock it names, does not exist.',
    retryable: false,
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    explanation:
      'A request has 30 seconds to arrive, from its first byte to its last. Nothing was done; send it again with the same key.',
    retryable: true,
  },
  'insufficient-stock': {
    status: 409,
    title: 'There is not enough available stock',
    explanation:
      '`lines` names every line that is short, with what was requested and what is available. None of the lines happened.',
    retryable: false,
  },
  'stock-changed': {
    status: 409,
    title: 'The stock is not what the request expected',
    explanation:
      'A count named an `expectedOnHand` or `expectedSequence` that the level no longer has. `level` is the current one; count again.',
    retryable: false,
  },
  'reservation-closed': {
    status: 409,
    title: 'The reservation is closed',
    explanation: 'All of its units are shipped or released, so there is nothing left to change.',
    retryable: false,
  },
  'reservation-expired': {
    status: 409,
    title: 'The reservation has expired',
    explanation:
      'Its units became available at the instant of `expiresAt`. Reserve again, or ship from available stock.',
    retryable: false,
  },
  'already-reversed': {
    status: 409,
    title: 'The posting is already reversed',
    explanation: 'A posting is reversed at most once. `reversal` is the posting that did it.',
    retryable: false,
  },
  'request-in-flight': {
    status: 409,
    title: 'A request with this key is still being processed',
    explanation: 'Send the same request with the same key again after `Retry-After` seconds.',
    retryable: true,
  },
  'payload-too-large': {
    status: 413,
    title: 'The body is too large',
    explanation: 'A body holds at most 1 MiB. Send several commands, each with its own key.',
    retryable: false,
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The body is not JSON',
    explanation: 'Send `Content-Type: application/json` and a JSON body in UTF-8, not compressed.',
    retryable: false,
  },
  'idempotency-key-reused': {
    status: 422,
    title: 'The key belongs to another request',
    explanation:
      'This Idempotency-Key was used with another method, path, query or body. Use a new key for a new effect; send the original request to get its answer again.',
    retryable: false,
  },
  'quantity-overflow': {
    status: 422,
    title: 'A quantity would leave the exact range',
    explanation:
      'The result would be beyond 9 007 199 254 740 991, the largest integer that JSON readers keep exactly.',
    retryable: false,
  },
  'rate-limited': {
    status: 429,
    title: 'Too many requests with this API key',
    explanation: 'Send the same request with the same key again after `Retry-After` seconds.',
    retryable: true,
  },
  'internal-error': {
    status: 500,
    title: 'The service failed',
    explanation:
      'A defect in the service. The same request with the same key is safe to send again; the log has the cause under the request id.',
    retryable: true,
  },
  overloaded: {
    status: 503,
    title: 'The service is at its limit',
    explanation:
      'The queue is full, the command waited too long in it, or the service is stopping. This attempt did nothing; send it again with the same key after `Retry-After` seconds. A result of a batch says it also where the answers before it fill the batch: such a command may have taken effect, and the same key tells.',
    retryable: true,
  },
  'lock-server-unavailable': {
    status: 503,
    title: 'The lock server does not answer',
    explanation:
      'Redis, where the locks are, is out of reach. Only looking at locks needs it; stock commands go on.',
    retryable: true,
  },
  'database-unavailable': {
    status: 503,
    title: 'The database is not available',
    explanation:
      'Send the same request with the same key again after `Retry-After` seconds: it takes effect once, whatever became of this attempt.',
    retryable: true,
  },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;

/** Seconds in `Retry-After` of a retryable answer: about as long as the cause tends to last. */
export const retryAfterSeconds = 1;

/** A refusal on its way to the caller. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly members: Readonly<Record<string, unknown>>;

  /**
   * @param detail what happened this time, for a person
   * @param members further members of the problem document
   */
  constructor(code: ErrorCode, detail: string, members: Readonly<Record<string, unknown>> = {}) {
    super(detail);
    this.name = 'ApiError';
    this.code = code;
    this.members = members;
  }
}

/** One fault of a request. `path` is a JSONPath (RFC 9535), `pointer` a JSON Pointer (RFC 6901). */
export interface Fault {
  readonly path: string;
  readonly pointer: string;
  readonly detail: string;
}

export function validationFailed(errors: readonly Fault[]): ApiError {
  const [first] = errors;
  const detail =
    first === undefined ? 'The request is not valid.' : `${first.path} ${first.detail}.`;
  return new ApiError('validation-failed', detail, { errors });
}

/** A problem document (RFC 9457). */
export function problemOf(
  code: ErrorCode,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const { status, title } = catalogue[code];
  return { type: `/problems/${code}`, title, status, detail, code, ...members };
}
