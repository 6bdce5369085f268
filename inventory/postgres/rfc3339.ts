let lastMs = Number.NaN;
let lastText = '';

/** Milliseconds since the epoch as RFC 3339 in UTC with milliseconds; null stays null. */
export function rfc3339(ms: number): string;
export function rfc3339(ms: number | null): string | null;
export function rfc3339(ms: number | null): string | null {
  if (ms === null) return null;
  // A batch has one instant, and writes it with every posting.
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastText;
}
