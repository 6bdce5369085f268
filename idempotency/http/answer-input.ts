import { validateHeaderValue } from 'node:http';
import { type Answer, headersToRecord } from '../answer.ts';

/** An answer as a handler states it. */
export interface AnswerInput {
  status: number;
  headers?: Record<string, string>;
  /** Text and bytes as they are, anything else as JSON. Default: an empty body. */
  body?: unknown;
}

/**
 * The exact bytes and headers that will be sent and repeated.
 *
 * @throws when no response could have this status or these headers: recorded, it would have to be
 * sent for as long as the record is kept
 */
export function toAnswer(input: AnswerInput, allowed: readonly string[]): Answer {
  const { status } = input;
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new RangeError(`An answer cannot have the status ${status}.`);
  }
  const headers = headersToRecord(input.headers ?? {}, allowed);
  for (const name in headers) validateHeaderValue(name, headers[name] as string);
  const { body } = input;
  if (body === undefined) return { status, headers, body: Buffer.alloc(0) };
  if (typeof body === 'string') return { status, headers, body: Buffer.from(body) };
  if (body instanceof Uint8Array) {
    return { status, headers, body: Buffer.from(body) };
  }
  headers['content-type'] ??= 'application/json; charset=utf-8';
  return { status, headers, body: Buffer.from(JSON.stringify(body)) };
}
