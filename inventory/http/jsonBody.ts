import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import secureJson from 'secure-json-parse';
import { ApiError, validationFailed } from '../errors.ts';
import { inexactness } from './exactJson.ts';
import { faultAt } from './validation.ts';

/** 2,000 lines of the longest codes fit several times. */
export const bodyBytesMax = 1024 * 1024;

/**
 * Reads JSON bodies strictly: valid UTF-8, no key that would reach into a prototype, no name twice
 * and no number that would be rounded to another integer. What cannot be read exactly is refused,
 * never repaired. Fastify refuses every other content type.
 */
export function addJsonBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: bodyBytesMax },
    (request, body, done) => {
      try {
        refuseEncoded(request);
        done(null, parseJson(body as Buffer));
      } catch (error) {
        done(error as Error, undefined);
      }
    },
  );
}

function refuseEncoded({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding'];
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return;
  throw new ApiError('unsupported-media-type', 'Send the body without a Content-Encoding.');
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  if (!isUtf8(body)) throw notJson('is not valid UTF-8');
  const text = body.toString();
  const value = parseSafely(text);
  const fault = inexactness(text, value);
  if (fault !== undefined) throw validationFailed([fault]);
  return value;
}

function parseSafely(text: string): unknown {
  try {
    return secureJson.parse(text);
  } catch (error) {
    throw notJson(`is not valid JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

function notJson(detail: string): Error {
  return validationFailed([faultAt('', detail)]);
}
