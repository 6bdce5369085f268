import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { hasBody, isJson, isMultipart, readBytes } from '../http/body.ts';
import type { Body } from '../http/protection.ts';

/** The part of a Fastify request that is used here, also as Nest hands it out. */
export interface FastifyBody {
  body?: unknown;
  raw: IncomingMessage;
}

/**
 * The body of a Fastify request, as its content type parser left it in `request.body`.
 *
 * A stream is read here, up to `bytesMax`, and replaced by another one. A body of which nothing is
 * there is unseen: the parser left it in `request.raw` for the handler, as those of multipart do.
 */
export function bodyOfRequest(request: FastifyBody, bytesMax: number): Body | Promise<Body> {
  const { body, raw } = request;
  const contentType = raw.headers['content-type'];
  if (body === undefined || body === null) {
    if (body === null && isJson(contentType)) return { json: null };
    const empty = !hasBody(raw) || (raw.readableEnded && !raw.readableDidRead);
    return empty ? undefined : { unseen: true };
  }
  if (body instanceof Uint8Array) return { raw: body };
  if (body instanceof Readable) return bodyOfStream(request, body, bytesMax);
  if (typeof body === 'string' && !isJson(contentType)) return { raw: Buffer.from(body) };
  // The files of one that was taken to pieces may be anywhere.
  return isMultipart(contentType) ? { unseen: true } : { json: body };
}

async function bodyOfStream(
  request: FastifyBody,
  stream: Readable,
  bytesMax: number,
): Promise<Body> {
  const bytes = await readBytes(stream, bytesMax);
  request.body = Readable.from([bytes]);
  return { raw: bytes };
}
