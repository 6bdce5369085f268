import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { ApiError, type Fault, validationFailed } from '../errors.ts';
import { faultAt } from './validation.ts';

/** What an HTTP server must be told for `refuseHeads` to find here what Node answers or drops. */
export const headOptions = {
  // Node would answer a request without Host by a bare 400.
  requireHostHeader: false,
  // Node would keep the first of two and drop the second, unseen.
  joinDuplicateHeaders: true,
} as const;

/** Refuses what the head alone shows to be wrong, before a key is looked up or a body is read. */
export function refuseHeads(app: FastifyInstance): void {
  // Node would answer an Expect that it does not know by a bare 417.
  app.server.on('checkExpectation', app.routing);
  app.addHook('onRequest', (request, reply, done) => {
    const fault = faultOf(request.raw);
    if (fault !== undefined) {
      reply.header('connection', 'close');
      return done(validationFailed([fault]));
    }
    if (!request.is404) return done();
    const path = request.url.split('?')[0] as string;
    done(new ApiError('not-found', `There is no ${request.method} ${path}.`));
  });
}

function faultOf(request: IncomingMessage): Fault | undefined {
  const { headers, httpVersion } = request;
  const { host, authorization, expect } = headers;
  // HTTP/1.1 requires one Host (RFC 9112, section 3.2); HTTP/1.0 does not.
  if (host === undefined && httpVersion === '1.1') return fault('host', 'is required');
  if (isRepeated(request, 'host', host)) return fault('host', sentOnce);
  if (isRepeated(request, 'authorization', authorization)) return fault('authorization', sentOnce);
  if (isRepeated(request, 'content-type', headers['content-type'])) {
    return fault('content-type', sentOnce);
  }
  // HTTP/1.0 knows no Expect, and is to be answered as if there were none.
  if (expect !== undefined && httpVersion === '1.1' && expect.toLowerCase() !== '100-continue') {
    return fault('expect', 'must be 100-continue');
  }
  return undefined;
}

const sentOnce = 'must be sent once';

/**
 * Whether the value was joined from several. The comma is looked for first: hardly any value has
 * one.
 */
function isRepeated(request: IncomingMessage, name: string, value: string | undefined): boolean {
  return value?.includes(', ') === true && request.headersDistinct[name]?.length !== 1;
}

function fault(header: string, detail: string): Fault {
  return faultAt(`/${header}`, detail, '$.headers');
}
