import type { FastifyInstance } from 'fastify';

/**
 * Writes the answers of one turn of the event loop one right after the other.
 *
 * A write to a client that sleeps wakes it, and on a machine with few cores it takes the place of
 * this process. Written together they find it awake. An answer that is alone goes out at the end of
 * its turn. Add it behind the hooks that change an answer.
 */
export function writeTogether(app: FastifyInstance): void {
  let ready: (() => void)[] = [];
  const write = () => {
    const answers = ready;
    ready = [];
    for (const answer of answers) answer();
  };
  app.addHook('onSend', (_request, _reply, payload, done) => {
    if (ready.push(() => done(null, payload)) === 1) setImmediate(write);
  });
}
