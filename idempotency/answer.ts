/** A recorded answer. Immutable: everything that holds one may share it. */
export interface Answer {
  status: number;
  /** Lower-case names from {@link replayedHeaders} only. */
  headers: Record<string, string>;
  body: Buffer;
}

/** What is remembered about a key: which request it was used for, and the answer. */
export interface IdempotencyRecord {
  fingerprint: string;
  answer: Answer;
  /** Unix milliseconds after which no cache may serve it. Default: only the cache's own bound. */
  expiresAt?: number;
}

/** Whether both tell the same answer to the same request. */
export function sameRecord(one: IdempotencyRecord, two: IdempotencyRecord): boolean {
  return (
    one.fingerprint === two.fingerprint &&
    one.answer.status === two.answer.status &&
    one.answer.body.equals(two.answer.body)
  );
}

/**
 * The headers that a replay repeats. Never `Set-Cookie` (it would hand a session to whoever repeats
 * the request) or `Date` (it would lie about the reply at hand).
 */
export const replayedHeaders: readonly string[] = ['location', 'content-type', 'etag'];

/**
 * Most characters of recorded headers, names and values together: 8 KiB, as proxies accept. As JSON
 * they stay within the 65 535 bytes that a stored value has for them, whatever is escaped.
 */
export const headerCharsMax = 8 * 1024;

export function headersFit(headers: Readonly<Record<string, string>>): boolean {
  let chars = 0;
  for (const name in headers) chars += name.length + (headers[name] as string).length + 2;
  return chars <= headerCharsMax;
}

/** The part of a reply's headers that is recorded, with lower-case names. */
export function headersToRecord(
  headers: Readonly<Record<string, unknown>>,
  allowed: readonly string[] = replayedHeaders,
): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (value !== undefined && allowed.includes(lower)) kept[lower] = String(value);
  }
  return kept;
}
