export type {
  Attempt,
  Claim,
  DriverContext,
  DriverFactory,
  KeyState,
  LockDriver,
  LockMode,
} from './driver.ts';
export {
  LockAborted,
  LockError,
  type LockErrorCode,
  LockLost,
  LockTimeout,
  LockUnavailable,
} from './errors.ts';
export type { LockEvent, LockHooks } from './hooks.ts';
export type { Lease } from './lease.ts';
export { createLocks, type Locks } from './locks.ts';
export { memoryDriver } from './memory/driver.ts';
export { type LockMeter, openTelemetryHooks } from './opentelemetry.ts';
export type { AcquireOptions, LocksOptions, UsingOptions } from './options.ts';
export {
  installPostgresLocks,
  type PostgresQueries,
  postgresDriver,
} from './postgres/driver.ts';
export { checkFence, fenceTable } from './postgres/fence.ts';
export type { RedisClient } from './redis/connect.ts';
export { redisDriver } from './redis/driver.ts';
