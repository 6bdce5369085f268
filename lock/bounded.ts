/** The promise did not settle in time. */
export class TimedOut extends Error {}

/**
 * Waits for `promise`, but no longer than `ms`.
 *
 * The promise itself cannot be stopped: what it brings after the time is handed to `onLate`.
 * @throws TimedOut
 */
export function bounded<T>(
  promise: Promise<T>,
  ms: number,
  onLate?: (value: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reject(new TimedOut(`no reply within ${ms} ms`));
    }, ms);
    promise.then(
      (value) => {
        if (late) return onLate?.(value);
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
