export type { Answer, IdempotencyRecord } from './answer.ts';
export { headersToRecord, replayedHeaders } from './answer.ts';
export { canonicalJson, depthMax } from './canonical-json.ts';
export type { Claim, ClaimResult, ClaimStore } from './claims/claim-store.ts';
export type { FallbackClaims, FallbackOptions } from './claims/fallback.ts';
export { fallbackClaims } from './claims/fallback.ts';
export type { MemoryClaimsOptions } from './claims/memory.ts';
export { memoryClaims } from './claims/memory.ts';
export {
  BodyUnseen,
  ClaimsUnavailable,
  IdempotencyError,
  KeyInvalid,
  KeyMissing,
  KeyReused,
  NotCanonical,
  RequestInFlight,
} from './errors.ts';
export type { RequestIdentity } from './fingerprint.ts';
export { fingerprint, rawFingerprint } from './fingerprint.ts';
export type { AnswerInput } from './http/answer-input.ts';
export type { ProtectionOptions } from './http/options.ts';
export type { Captured, Incoming, Outcome, RequestIdempotency } from './http/protection.ts';
export { Protection } from './http/protection.ts';
export type { HeaderFields } from './key.ts';
export { keyLengthMax, parseIdempotencyKey, parseKeyText, parseKeyValue } from './key.ts';
export type {
  ExecuteResult,
  Idempotency,
  IdempotencyOptions,
  KeyedRequest,
  KeyState,
  RunClaim,
  RunResult,
} from './layer.ts';
export { createIdempotency } from './layer.ts';
export type { RedisClaimsOptions } from './redis/claims.ts';
export { redisClaims } from './redis/claims.ts';
export type { RedisArgument, RedisConnection } from './redis/connection.ts';
