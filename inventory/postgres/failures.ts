import pg from 'pg';
import { UnconfirmedError } from './confirmed.ts';

/**
 * What an error of PostgreSQL, or of the way to it, means for the batch that met it.
 *
 * - `transient`: nothing was written and the same batch may succeed at once: a serialization
 *   failure, a deadlock, a lock wait that ended, or a unique key that another writer took first.
 * - `unreachable`: the database, the connection to it or a standby is gone, full or stopping. If a
 *   COMMIT had been sent, its outcome is unknown.
 * - `refused`: the database refuses this content; the same batch would fail again.
 *
 * Codes: PostgreSQL manual, Appendix A.
 */
export type Failure = 'transient' | 'unreachable' | 'refused';

const TRANSIENT = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '23505', // unique_violation: another instance recorded the key, or wrote the sequence, first
  '57014', // query_canceled: statement_timeout
  '25P02', // in_failed_sql_transaction: one before it failed; running it again shows the real error
]);

// Classes: connection exception, insufficient resources, operator intervention, system error.
const UNREACHABLE_CLASSES = new Set(['08', '53', '57', '58']);

const READ_ONLY = '25006';

const UNREACHABLE = new Set([
  '25P03', // idle_in_transaction_session_timeout: the connection is closed
  '25P04', // transaction_timeout: likewise
  READ_ONLY, // read_only_sql_transaction: a standby, or a primary that was demoted
  '28000', // invalid_authorization_specification
  '28P01', // invalid_password
  '3D000', // invalid_catalog_name
]);

export function failureOf(error: unknown): Failure {
  if (error instanceof UnconfirmedError) return 'unreachable';
  const code = sqlState(error);
  // An error that is neither the server's nor the connection's says that this code is wrong.
  if (code === undefined) return isConnectionError(error) ? 'unreachable' : 'refused';
  if (TRANSIENT.has(code)) return 'transient';
  if (UNREACHABLE.has(code) || UNREACHABLE_CLASSES.has(code.slice(0, 2))) return 'unreachable';
  return 'refused';
}

// `pg` reports a broken or absent connection by Node's system and stream errors, or in these words.
const CONNECTION_CODE = /^(E[A-Z]+|ERR_(STREAM|SOCKET|SSL|TLS)_.*)$/;
// The certificate of the server, or of a pooler before it, is not accepted.
// Source: Node.js manual, TLS, X509 certificate error codes.
const CERTIFICATE_CODE =
  /^((UNABLE_TO|CERT|CRL|ERROR_IN_CERT|ERROR_IN_CRL)_.*|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$/;
const CONNECTION_WORDS =
  /^(Connection terminated|timeout e|Query read timeout|Client (has|was)|Received unexpected|Cannot use a pool|The server does not support|There was an error establishing)/;

function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return (
    CONNECTION_CODE.test(code) ||
    CERTIFICATE_CODE.test(code) ||
    CONNECTION_WORDS.test(error.message)
  );
}

/** The five-character code of a server error; undefined for an error of the connection. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError || error instanceof ReadOnlyError
    ? error.code
    : undefined;
}

/**
 * A session that cannot write, found before it was used. Its code is that of a write that failed.
 */
export class ReadOnlyError extends Error {
  override readonly name = 'ReadOnlyError';
  readonly code = READ_ONLY;

  constructor(reason: string) {
    super(`the database takes no writes: ${reason}`);
  }
}

/** Whether the session that an error comes from cannot write. */
export function isReadOnly(error: unknown): error is Error {
  return sqlState(error) === READ_ONLY;
}
