/** The promise did not settle in time. */
export class TimedOut extends Error {}

/** Told what became of a call. */
export interface Afterwards {
  /** It was fulfilled in time. */
  answered(): void;
  givenUp(): void;
  /** It settled after all. */
  settledLate(): void;
}

/**
 * Waits for `promise`, but no longer than `ms`. The promise itself cannot be stopped.
 * @throws TimedOut
 */
export function bounded<T>(promise: Promise<T>, ms: number, after: Afterwards): Promise<T> {
  return new Promise((resolve, reject) => {
    let state: 'open' | 'settled' | 'late' = 'open';
    const giveUp = () => {
      if (state !== 'open') return;
      state = 'late';
      after.givenUp();
      reject(new TimedOut(`no reply within ${ms} ms`));
    };
    // Where the process itself was held up, the reply may lie in the socket: read that first.
    const timer = setTimeout(() => setImmediate(giveUp), ms);
    const settle = (pass: () => void) => {
      if (state === 'late') {
        after.settledLate();
      } else {
        state = 'settled';
        clearTimeout(timer);
        pass();
      }
    };
    promise.then(
      (value) => {
        if (state === 'open') after.answered();
        settle(() => resolve(value));
      },
      (error) => settle(() => reject(error)),
    );
  });
}
