import type { Claim } from './driver.ts';

/** What clocks may drift apart during a lease. */
const driftRate = 0.01;
/** What acting on a reply, and a timer, may take. */
const marginMs = 2;

/**
 * The end of a lease on this process's monotonic clock.
 * @param sentAt from before the request was sent: the server cannot have started the lease earlier
 */
export function validUntil(sentAt: number, leaseMs: number): number {
  return sentAt + leaseMs * (1 - driftRate) - marginMs;
}

/** Keys that the server granted to this process, for one lease or a row of local ones. */
export interface Grant {
  readonly claim: Claim;
  /** Of the server; the leases of one grant share it and differ in their turn. */
  readonly token: number;
  /** On the monotonic clock, ms. */
  validUntil: number;
  /** The server said that the keys are not held any more. */
  lost: boolean;
}

/** Leases that one grant may serve: the first, and those it is handed on to. */
export const turnsMax = 64;

/**
 * The fencing token of one turn of a grant: server token × 64 + turn. With microseconds since 1970
 * it fits a signed 64-bit integer until the year 6400.
 */
export function fencingToken(grant: Pick<Grant, 'token'>, turn: number): bigint {
  return BigInt(grant.token) * BigInt(turnsMax) + BigInt(turn);
}
