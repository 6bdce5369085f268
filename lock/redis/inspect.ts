import type { KeyState } from '../driver.ts';

/** Reads one entry of the reply of `inspect.lua`. */
export function readState(key: string, entry: unknown): KeyState {
  const [mode, left, holders, waiters, now] = entry as [
    KeyState['mode'],
    string,
    string[],
    string[],
    string,
  ];
  return {
    key,
    mode,
    holders:
      mode === 'exclusive' ? [exclusiveHolder(holders[0] ?? '', Number(now))] : shared(holders),
    remainingMs: mode === 'free' ? 0 : Math.max(0, Number(left)),
    waiters,
  };
}

/** The value is the owner, the token, and since when it is held, ms. */
function exclusiveHolder(value: string, now: number): KeyState['holders'][number] {
  const [owner = '', , since] = value.split(' ');
  return { owner, heldMs: Math.max(0, Math.round(now - Number(since))) };
}

function shared(pairs: readonly (string | number)[]): KeyState['holders'] {
  return pairs.flatMap((owner, at) =>
    at % 2 === 0 ? [{ owner: `${owner}`, heldMs: undefined }] : [],
  );
}
