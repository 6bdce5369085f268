import type { LockHooks } from './hooks.ts';

/** What is used of a meter of `@opentelemetry/api`. */
export interface LockMeter {
  createHistogram(
    name: string,
    options: { unit: string; description: string },
  ): { record(value: number, attributes: Record<string, string>): void };
  createCounter(
    name: string,
    options: { description: string },
  ): { add(value: number, attributes: Record<string, string>): void };
}

/**
 * Hooks that feed OpenTelemetry: the histograms `lock.wait` and `lock.hold` (ms) and the counter
 * `lock.failures`, by `lock.mode` and, of failures, `error.type` (the error's code). Keys are left
 * out: they are too many for a metric.
 */
export function openTelemetryHooks(meter: LockMeter): LockHooks {
  const wait = meter.createHistogram('lock.wait', {
    unit: 'ms',
    description: 'How long an acquire took until its lease was granted',
  });
  const hold = meter.createHistogram('lock.hold', {
    unit: 'ms',
    description: 'How long a lease was held until it was released',
  });
  const failures = meter.createCounter('lock.failures', {
    description: 'Acquires that failed, and leases that were lost',
  });
  const failed = (mode: string, error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    failures.add(1, { 'lock.mode': mode, 'error.type': code });
  };
  return {
    acquired: ({ mode, waitedMs }) => wait.record(waitedMs, { 'lock.mode': mode }),
    released: ({ mode, heldMs }) => hold.record(heldMs, { 'lock.mode': mode }),
    refused: ({ mode, error }) => failed(mode, error),
    lost: ({ mode, error }) => failed(mode, error),
  };
}
