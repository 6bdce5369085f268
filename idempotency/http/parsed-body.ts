import type { IncomingMessage } from 'node:http';
import { bodyOf, isJson, readBody } from './body.ts';
import type { Incoming } from './protection.ts';

/**
 * The body of an Express request, as parsers left it in `req.body`.
 *
 * One that no parser read is read here, up to `bytesMax`, and left there as a Buffer: what is not
 * read cannot tell two requests apart.
 */
export async function readParsedBody(
  req: IncomingMessage & { body?: unknown },
  bytesMax: number,
): Promise<Incoming['body']> {
  const hasBody = req.headers['transfer-encoding'] || Number(req.headers['content-length']) > 0;
  if (!hasBody) return undefined;
  const contentType = req.headers['content-type'];
  const { body } = req;
  if (body instanceof Uint8Array) return { raw: body };
  if (typeof body === 'string' && !isJson(contentType)) return { raw: Buffer.from(body) };
  if (body !== undefined) return { json: body };
  const bytes = await readBody(req, bytesMax);
  // `_body` is how Express parsers tell each other that the stream was read.
  Object.assign(req, { body: bytes, _body: true });
  return bodyOf(bytes, contentType);
}
