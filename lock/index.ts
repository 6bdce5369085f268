export type { Attempt, Claim, LockDriver, LockMode } from './driver.ts';
export {
  LockAborted,
  LockError,
  type LockErrorCode,
  LockLost,
  LockTimeout,
  LockUnavailable,
} from './errors.ts';
export type { Lease } from './lease.ts';
export { type AcquireOptions, createLocks, type Locks, type LocksOptions } from './locks.ts';
export { memoryDriver } from './memory/driver.ts';
export { redisDriver } from './redis/driver.ts';
