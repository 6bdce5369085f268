/**
 * Every refusal of this package: a stable `code`, the HTTP `status` it maps to, and when to retry.
 */
export class IdempotencyError extends Error {
  readonly code: string;
  readonly status: number;
  /** Seconds for `Retry-After`; undefined when a retry would be refused again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: string, status: number, message: string, retryAfterSeconds?: number) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export class KeyMissing extends IdempotencyError {
  /** @param what the request needs. Default `an Idempotency-Key header` */
  constructor(what = 'an Idempotency-Key header') {
    super('idempotency-key-missing', 400, `This request needs ${what}.`);
  }
}

export class KeyInvalid extends IdempotencyError {
  /** @param where the key was read from. Default `Idempotency-Key header` */
  constructor(reason: string, where = 'Idempotency-Key header') {
    super('idempotency-key-invalid', 400, `The ${where} is invalid: ${reason}.`);
  }
}

export class KeyReused extends IdempotencyError {
  constructor() {
    super(
      'idempotency-key-reused',
      422,
      'This Idempotency-Key was already used for a different request.',
    );
  }
}

export class RequestInFlight extends IdempotencyError {
  constructor(retryAfterSeconds: number) {
    super(
      'request-in-flight',
      409,
      'A request with this Idempotency-Key is still being processed.',
      retryAfterSeconds,
    );
  }
}

/** The claim store did not answer, and no other layer could decide. Nothing was done. */
export class ClaimsUnavailable extends IdempotencyError {
  constructor(cause: unknown) {
    super('idempotency-unavailable', 503, 'The idempotency store is unavailable.', 1);
    this.cause = cause;
  }
}

/**
 * A body that something else read, or that nothing did: two requests could not be told apart by it.
 */
export class BodyUnseen extends IdempotencyError {
  constructor() {
    super(
      'body-unseen',
      415,
      'This server cannot compare such a body with that of a repeat, so it takes no Idempotency-Key with it.',
    );
  }
}

/** A value that RFC 8785 cannot represent, or nested beyond `depthMax`. */
export class NotCanonical extends IdempotencyError {
  constructor(reason: string) {
    super('body-not-canonical', 400, `The body has no canonical JSON form: ${reason}.`);
  }
}
