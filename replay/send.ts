import { setTimeout } from 'node:timers/promises';
import type { Call, Connection, Reply } from './connection.ts';

/** The service did not decide a request in time, or cannot be talked to. */
export class GaveUpError extends Error {
  override readonly name = 'GaveUpError';
}

export interface SendOptions {
  /** Told before each further attempt: `connection`, or the status and code of the answer. */
  readonly onRetry?: (cause: string) => void;
  /** Ends waiting and further attempts. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which no further attempt starts. Default {@link patienceMs}. */
  readonly patienceMs?: number;
}

/** Enough for a service that restarts and recovers its database. */
const patienceMs = 120_000;
const backoffMs = 50;
/** Also the bound on a `Retry-After` that is followed. */
const waitMsMax = 5_000;

/**
 * Sends a request until it is decided, each time with the same key.
 *
 * Tried again: broken connections, 408, 409 `request-in-flight`, 429 and every 5xx, after
 * `Retry-After` or else a doubling wait. In all at most `patienceMs` and one last attempt.
 * @throws GaveUpError with the last cause
 */
export async function send(
  connection: Connection,
  call: Call,
  options: SendOptions = {},
): Promise<Reply> {
  const deadline = performance.now() + (options.patienceMs ?? patienceMs);
  for (let attempt = 0; ; attempt += 1) {
    const result = await attemptOnce(connection, call);
    if (result.cause === undefined) return result.reply;
    const waitMs = Math.min(result.afterMs ?? backoffMs * 2 ** attempt, waitMsMax);
    if (options.signal?.aborted || performance.now() + waitMs > deadline) {
      throw new GaveUpError(`${call.method} ${call.path}: ${result.detail}`);
    }
    options.onRetry?.(result.cause);
    // Cut short by the signal; the next attempt is then the last.
    await setTimeout(waitMs, undefined, { signal: options.signal }).catch(() => {});
  }
}

type Attempt =
  | { cause: undefined; reply: Reply }
  | { cause: string; detail: string; afterMs: number | undefined };

async function attemptOnce(connection: Connection, call: Call): Promise<Attempt> {
  let reply: Reply;
  try {
    reply = await connection.call(call);
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { cause: 'connection', detail: message || String(code), afterMs: undefined };
  }
  const code = isSuccess(reply) ? undefined : problemCode(reply);
  const { status } = reply;
  const isUndecided =
    status >= 500 || status === 408 || status === 429 || code === 'request-in-flight';
  if (!isUndecided) return { cause: undefined, reply };
  const seconds = Number(reply.headers['retry-after']);
  const cause = `${status} ${code}`;
  return { cause, detail: cause, afterMs: seconds > 0 ? seconds * 1_000 : undefined };
}

export function isSuccess({ status }: Reply): boolean {
  return status >= 200 && status < 300;
}

/** The `code` of a problem document, or the status of an answer that is none. */
export function problemCode({ status, body }: Reply): string {
  try {
    const { code } = JSON.parse(body.toString()) as { code?: unknown };
    return typeof code === 'string' ? code : `status-${status}`;
  } catch {
    return `status-${status}`;
  }
}
