import { type Answer, headersToRecord } from '../answer.ts';

/** An answer as a handler states it. */
export interface AnswerInput {
  status: number;
  headers?: Record<string, string>;
  /** Text and bytes as they are, anything else as JSON. Default: an empty body. */
  body?: unknown;
}

/** The exact bytes and headers that will be sent and repeated. */
export function toAnswer(input: AnswerInput, allowed: readonly string[]): Answer {
  const headers = headersToRecord(input.headers ?? {}, allowed);
  const { body } = input;
  if (body === undefined) return { status: input.status, headers, body: Buffer.alloc(0) };
  if (typeof body === 'string') return { status: input.status, headers, body: Buffer.from(body) };
  if (body instanceof Uint8Array) {
    return { status: input.status, headers, body: Buffer.from(body) };
  }
  headers['content-type'] ??= 'application/json; charset=utf-8';
  return { status: input.status, headers, body: Buffer.from(JSON.stringify(body)) };
}
