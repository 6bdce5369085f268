import { LockLost } from './errors.ts';
import type { Lease } from './lease.ts';

/**
 * Extends a lease at every third of its length until stopped.
 *
 * An extension that fails is tried again every tenth of the lease while time remains: of a lease of
 * 10 s about seven attempts. A lease that is lost needs no more of them. Never rejects.
 * @param holdMaxMs after which the lease is left to run out
 * @returns stops it
 */
export function keepExtending(lease: Lease, leaseMs: number, holdMaxMs: number): () => void {
  const stopAt = performance.now() + holdMaxMs;
  let timer: NodeJS.Timeout;
  const schedule = (ms: number) => {
    timer = setTimeout(() => void extend(), ms);
  };
  async function extend(): Promise<void> {
    if (stopped || lease.remainingMs() === 0 || performance.now() >= stopAt) return;
    try {
      await lease.extend();
      if (!stopped) schedule(leaseMs / 3);
    } catch (error) {
      if (!stopped && !(error instanceof LockLost)) schedule(leaseMs / 10);
    }
  }
  let stopped = false;
  schedule(leaseMs / 3);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
