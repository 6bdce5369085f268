/** What tells of its end: a client of node-redis or ioredis. */
export interface Ending {
  once(event: 'end', listener: () => void): unknown;
}

const watched = new WeakMap<Ending, Set<() => void>>();

/**
 * Calls back when the client ends, once. However many locks share a client, it gets one listener,
 * which stays: an emitter with more than ten warns of a leak.
 * @returns forgets the callback
 */
export function whenEnded(client: Ending, callback: () => void): () => void {
  const callbacks = watched.get(client) ?? watch(client);
  callbacks.add(callback);
  return () => void callbacks.delete(callback);
}

function watch(client: Ending): Set<() => void> {
  const callbacks = new Set<() => void>();
  watched.set(client, callbacks);
  client.once('end', () => {
    // A client that connects again is watched anew.
    watched.delete(client);
    for (const callback of callbacks) callback();
  });
  return callbacks;
}
