import type { IncomingMessage } from 'node:http';
import { bodyOf, hasBody, isJson, isMultipart, readBody } from './body.ts';
import type { Body } from './protection.ts';

/**
 * The body of an Express request, as parsers left it in `req.body`.
 *
 * One that no parser read is read here, up to `bytesMax`, and left there as a Buffer: what is not
 * read cannot tell two requests apart. Anything but {} is taken for the body, but of a multipart
 * one that a parser took to pieces the files may be anywhere, so that it is unseen.
 */
export async function readParsedBody(
  req: IncomingMessage & { body?: unknown },
  bytesMax: number,
): Promise<Body> {
  if (!hasBody(req)) return undefined;
  const contentType = req.headers['content-type'];
  const { body } = req;
  if (body instanceof Uint8Array) return { raw: body };
  const untouched = !req.readableDidRead && !req.readableEnded;
  // Some parsers and middleware put {} for what they do not parse.
  if (untouched && (body === undefined || isEmpty(body))) {
    const bytes = await readBody(req, bytesMax);
    // `_body` is how Express parsers tell each other that the stream was read.
    Object.assign(req, { body: bytes, _body: true });
    return bodyOf(bytes, contentType);
  }
  if (body === undefined) return req.readableDidRead ? { unseen: true } : undefined;
  if (typeof body === 'string' && !isJson(contentType)) return { raw: Buffer.from(body) };
  return isMultipart(contentType) ? { unseen: true } : { json: body };
}

function isEmpty(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.keys(body).length === 0;
}
