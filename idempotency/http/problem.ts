import { IdempotencyError } from '../errors.ts';

export interface Problem {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/**
 * An error of this package as RFC 9457 `application/problem+json`; undefined for any other error.
 */
export function problemOf(error: unknown): Problem | undefined {
  if (!(error instanceof IdempotencyError)) return undefined;
  const { status, code, message, retryAfterSeconds } = error;
  const headers: Record<string, string> = { 'content-type': 'application/problem+json' };
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(retryAfterSeconds);
  const title = code.replaceAll('-', ' ');
  const problem = { type: 'about:blank', title, status, code, detail: message };
  return { status, headers, body: JSON.stringify(problem) };
}
