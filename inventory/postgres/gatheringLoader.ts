import DataLoader from 'dataloader';

export interface GatheringOptions {
  /** Keys of one statement, so that one does not take long enough to be felt by the next. */
  readonly keysMax: number;
  /** How long to wait for the statement in front, ms. Default: for its end. */
  readonly waitMsMax?: number;
}

/**
 * Looks single keys up by one statement at a time: all who ask while one runs share the next. None
 * waits for company, and none joins a statement that was sent before it: each is answered with what
 * was true after it was asked.
 * @param run sends one statement; for each key, in their order, what it found
 */
export function gatheringLoader<Key, Found>(
  run: (keys: readonly Key[]) => Promise<Found[]>,
  { keysMax, waitMsMax }: GatheringOptions,
): DataLoader<Key, Found> {
  let turn: Promise<unknown> = Promise.resolve();
  /** Of the statement that was sent last. */
  let end = turn;
  const load = (keys: readonly Key[]) => {
    const found = run(keys);
    end = endOf(found, waitMsMax);
    return found;
  };
  return new DataLoader(load, {
    cache: false,
    maxBatchSize: keysMax,
    batchScheduleFn: (send) => {
      turn = turn.then(() => {
        send();
        return end;
      });
    },
  });
}

/** Resolves with the end of a statement, whatever it is, or when that has taken too long. */
async function endOf(statement: Promise<unknown>, waitMsMax: number | undefined): Promise<void> {
  const ended = statement.then(
    () => {},
    () => {},
  );
  if (waitMsMax === undefined) return ended;
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => late.resolve(), waitMsMax);
  await Promise.race([ended, late.promise]);
  clearTimeout(timer);
}
