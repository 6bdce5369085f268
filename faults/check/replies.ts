import { codeOf, type Unwelcome } from '../workload/history.ts';
import type { Report } from './anomaly.ts';

/** What may fail for a while, and is told so. */
const passingCodes = ['overloaded', 'database-unavailable'];

/**
 * A failure is a 503 that says when to come again, a refusal says why, and nothing is unexpected.
 */
export function checkReplies(replies: readonly Unwelcome[], report: Report): void {
  for (const reply of replies) {
    const wrong = judge(reply);
    const { request, status, body } = reply;
    if (wrong !== undefined) report('reply', `${request}: ${status} ${wrong}: ${body}`);
  }
}

function judge({ expected, status, retryAfter, body }: Unwelcome): string | undefined {
  const code = codeOf(body);
  const passes =
    status === 429 ||
    code === 'request-in-flight' ||
    (status === 503 && passingCodes.includes(code));
  if (passes) return retryAfter === undefined ? 'without Retry-After' : undefined;
  if (status >= 500) return 'is no failure that passes';
  if (expected !== undefined && expected !== status) return `instead of ${expected}`;
  if (status < 400 && expected === undefined) return 'is incomplete';
  return code === '' ? 'has no code' : undefined;
}
