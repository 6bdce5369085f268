import { bounded } from './bounded.ts';

/** The server owes answers, so nothing more is asked of it for the moment. */
export class Stalled extends Error {}

/**
 * Bounds every call to the server in time, and spares a server that does not answer.
 *
 * While an answer is overdue, one call in a quarter of the timeout goes through to see whether it
 * answers again; the others fail at once. So an outage costs a caller the timeout only now and
 * then, and calls do not pile up that would all be carried out when it is over. An answer, in time
 * or late, ends it, whatever became of the other calls.
 */
export class Breaker {
  readonly timeoutMs: number;
  #overdue = false;
  #probedAt = 0;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  /**
   * @param onLate called when the call settles after the time was over
   * @throws TimedOut, Stalled, or what the call throws
   */
  call<T>(call: () => Promise<T>, onLate?: () => void): Promise<T> {
    if (this.#overdue) {
      const now = performance.now();
      if (now - this.#probedAt < this.timeoutMs / 4) {
        return Promise.reject(new Stalled('it owes an answer to an earlier call'));
      }
      this.#probedAt = now;
    }
    return bounded(call(), this.timeoutMs, {
      answered: () => {
        this.#overdue = false;
      },
      givenUp: () => {
        this.#overdue = true;
        this.#probedAt = performance.now();
      },
      settledLate: () => {
        this.#overdue = false;
        onLate?.();
      },
    });
  }
}
