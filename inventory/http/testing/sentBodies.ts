import { ServerResponse } from 'node:http';
import type { TestContext } from 'node:test';

/** What the servers of this process give to Node as bodies from now on, until the test ends. */
export function sentBodies(t: TestContext): () => unknown[] {
  const { mock } = t.mock.method(ServerResponse.prototype, 'end');
  return () => mock.calls.map((call) => call.arguments[0]);
}
