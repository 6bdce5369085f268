let waiting: (() => void)[] = [];

/**
 * Resolves at the end of this turn of the event loop, for all who wait in it at once.
 *
 * Answers that are sent then are written one right after the other. A write to a client that sleeps
 * wakes it, and on a machine with few cores it takes the place of this process; written together
 * they find it awake.
 */
export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(resolveAll);
  });
}

function resolveAll(): void {
  const all = waiting;
  waiting = [];
  for (const resolve of all) resolve();
}
