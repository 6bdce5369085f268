import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { Readable } from 'node:stream';
import { IdempotencyError } from '../errors.ts';

export class BodyTooLarge extends IdempotencyError {
  constructor(bytesMax: number) {
    super('payload-too-large', 413, `A body may have up to ${bytesMax} bytes here.`);
  }
}

/** The rest of a request's body. @throws BodyTooLarge before more than `bytesMax` are kept */
export async function readBody(req: IncomingMessage, bytesMax: number): Promise<Buffer> {
  if (Number(req.headers['content-length']) > bytesMax) throw new BodyTooLarge(bytesMax);
  return readBytes(req, bytesMax);
}

/** All bytes of a stream. @throws BodyTooLarge before more than `bytesMax` are kept */
export async function readBytes(stream: Readable, bytesMax: number): Promise<Buffer> {
  // No event would ever come.
  if (stream.readableEnded) throw new Error('The body was read before, and left nowhere.');
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Not `for await`: leaving that early would destroy the connection and lose the 413.
  await new Promise<void>((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) reject(new BodyTooLarge(bytesMax));
      else chunks.push(chunk);
    });
    stream.on('end', resolve);
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('The body ended before it was complete.')));
  });
  return Buffer.concat(chunks);
}

/** Whether a request has a body, by its head. */
export function hasBody(req: IncomingMessage): boolean {
  const { headers } = req;
  if (headers['transfer-encoding'] !== undefined) return true;
  if (Number(headers['content-length']) > 0) return true;
  // HTTP/2 needs neither header.
  return (req as { stream?: ServerHttp2Stream }).stream?.endAfterHeaders === false;
}

/** Whether a content type is `multipart/form-data` or its like. */
export function isMultipart(contentType: string | undefined): boolean {
  return /^multipart\//i.test(contentType ?? '');
}

/** Whether a content type is JSON, also `application/problem+json` and its like. */
export function isJson(contentType: string | undefined): boolean {
  return /^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType ?? '');
}

/**
 * Bytes as what the fingerprint counts: parsed where they are JSON in UTF-8, else as they are.
 * Decoded, bytes that are no UTF-8 would all become the same U+FFFD.
 */
export function bodyOf(
  bytes: Uint8Array,
  contentType: string | undefined,
): { json: unknown } | { raw: Uint8Array } | undefined {
  if (bytes.length === 0) return undefined;
  if (isJson(contentType) && isUtf8(bytes)) {
    try {
      return { json: JSON.parse(Buffer.from(bytes).toString()) };
    } catch {
      // Not JSON after all; the handler will say so, and its bytes tell it apart until then.
    }
  }
  return { raw: bytes };
}
