import type { IncomingMessage, ServerResponse } from 'node:http';
import { Capture, sendRecorded } from './capture.ts';
import { problemOf } from './problem.ts';
import type { Incoming, Protection, RequestIdempotency } from './protection.ts';

/** The part of an incoming request that node:http knows. */
export function requestLine(req: IncomingMessage, url: string) {
  const mark = url.indexOf('?');
  return {
    method: req.method ?? 'GET',
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? '' : url.slice(mark + 1),
    headers: req.headers,
    rawHeaders: req.rawHeaders,
  };
}

/**
 * Protects one exchange over node's own response, whichever framework writes to it.
 *
 * @param start runs the handler; it may throw before it answers
 * @throws errors that are not this package's, when they came before the handler answered
 */
export async function exchange<Request>(
  protection: Protection<Request>,
  incoming: Incoming,
  res: ServerResponse,
  start: (idempotency: RequestIdempotency | undefined) => void | Promise<void>,
): Promise<void> {
  let capture: Capture | undefined;
  try {
    const outcome = await protection.answer(incoming, async (idempotency) => {
      capture = new Capture(res, protection.settings);
      const running = (async () => start(idempotency))();
      // Nobody else would end an answer that is on its way already.
      running.catch(() => res.headersSent && cut(res));
      return Promise.race([capture.captured, running.then(() => (capture as Capture).captured)]);
    });
    if (capture) capture.send(outcome);
    else if ('recorded' in outcome) sendRecorded(res, outcome);
  } catch (error) {
    if (capture) {
      capture.restore();
      capture.forgetHeaders();
    }
    if (!sendProblem(res, error)) throw error;
  }
}

/** Answers 500, or cuts the answer that has begun: its client must not take it for whole. */
export function sendFailure(res: ServerResponse): void {
  if (res.headersSent) {
    cut(res);
    return;
  }
  const problem = { type: 'about:blank', title: 'Internal Server Error', status: 500 };
  res.writeHead(500, { 'content-type': 'application/problem+json' });
  res.end(JSON.stringify(problem));
}

function cut(res: ServerResponse): void {
  if (!res.writableEnded) res.destroy();
}

/** @returns false when the error is none of this package's, or the response has begun */
export function sendProblem(res: ServerResponse, error: unknown): boolean {
  const problem = problemOf(error);
  if (!problem || res.headersSent) return false;
  // An unread body would be taken for the next request on this connection.
  if (problem.status === 413) res.setHeader('connection', 'close');
  res.writeHead(problem.status, problem.headers);
  res.end(problem.body);
  return true;
}
