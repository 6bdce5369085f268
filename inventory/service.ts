import {
  type ClaimStore,
  createIdempotency,
  type FallbackClaims,
  fallbackClaims,
  type Idempotency,
  memoryClaims,
  redisClaims,
} from '@onhand/idempotency';
import { createLocks, type Locks, memoryDriver, redisDriver } from '@onhand/lock';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { renderOutcome } from './http/answers.ts';
import { buildApp } from './http/app.ts';
import { Metrics } from './http/metrics.ts';
import { PairLocks } from './pipeline/pairLocks.ts';
import { Pipeline, type PipelineOptions } from './pipeline/pipeline.ts';
import { Preview } from './pipeline/preview.ts';
import { ApiKeyReader } from './postgres/apiKeyReader.ts';
import { type Database, openDatabase } from './postgres/database.ts';
import { databaseIdentity } from './postgres/databaseIdentity.ts';
import { lookUpRecord } from './postgres/lookUpRecord.ts';
import { isMigrated } from './postgres/migrate.ts';
import { checkWrites } from './postgres/refuseReadOnly.ts';
import { ConfirmedRecords } from './postgres/standbys.ts';
import { startPurge } from './purge.ts';
import { closeRedis, connectRedis, type RedisClient } from './redis.ts';
import { reasonOf } from './runtime/startError.ts';
import type { Settings } from './settings.ts';

export interface Service {
  readonly app: FastifyInstance;
  readonly database: Database;
  /**
   * Why Redis is out of use now, in a few words; undefined when it is not, or when there is none.
   */
  readonly redisFault: () => string | undefined;
  /**
   * Stops in order: no new work; what is queued commits and is answered; claims and leases are
   * given back; connections close. The caller bounds the time.
   */
  stop(): Promise<void>;
}

/** Lines of one batch: a batch of this many takes some 100 ms. */
const batchLinesMax = 4_000;

/** Puts the service together on a migrated database and, if there is one, a Redis. */
export async function createService(
  settings: Settings,
  { databaseUrl, redisUrl }: { databaseUrl: string; redisUrl: string | undefined },
  logger: Logger,
): Promise<Service> {
  const database = openDatabase({
    url: databaseUrl,
    connections: settings.databaseConnections,
    onIdleError: (error) => logger.warn({ err: error }, 'an idle database connection broke'),
  });
  const metrics = new Metrics();
  let redisFault = 'not connected yet';
  const onRedisError = (error: Error) => {
    redisFault = reasonOf(error);
  };
  const redis =
    redisUrl === undefined ? undefined : connectRedis(redisUrl, quiet(logger, onRedisError));
  const claims =
    redis === undefined
      ? undefined
      : fallbackTo(redis, await databaseIdentity(database.reads), { metrics, logger });
  const apiKeys = new ApiKeyReader(database.lookups);
  const idempotency = idempotencyOf(settings, database, claims ?? memoryClaims());
  const locks: Locks = createLocks({
    driver: redis === undefined ? memoryDriver() : redisDriver(redis),
    prefix: 'lock',
    commandTimeoutMs: 250,
  });
  const isDegraded = () => redis !== undefined && (!redis.isReady || claims?.degraded === true);
  // One process needs no lock of its own: a tenant's batches are in one lane.
  const pairLocks =
    redis === undefined
      ? undefined
      : new PairLocks({
          locks,
          isUsable: () => !isDegraded(),
          leaseMs: settings.lockLeaseMs,
          waitMs: settings.lockWaitMs,
          observer: metrics.observer,
        });
  const pipeline = pipelineOf(settings, { database, locks: pairLocks, observer: metrics.observer });
  metrics.watch({ queueLength: () => pipeline.queueLength, isDegraded });
  let stopping = false;
  const app = await buildApp({
    database,
    idempotency,
    pipeline,
    preview: new Preview(database, renderOutcome),
    locks,
    metrics,
    readiness: {
      checkDatabase: shared(() => isUsable(database)),
      isDegraded,
      isStopping: () => stopping,
    },
    findPrincipal: (secretSha256) => apiKeys.find(secretSha256),
    logger,
    retentionHours: settings.idempotencyRetentionHours,
    rateLimitPerSecond: settings.rateLimitPerSecond,
    stopTimeoutMs: settings.stopTimeoutMs,
  });
  const purge = startPurge(database.reads, (error) => logger.warn({ err: error }, 'purge failed'));
  return {
    app,
    database,
    redisFault: () => (redis === undefined || redis.isReady ? undefined : redisFault),
    stop: async () => {
      stopping = true;
      const purged = purge.stop();
      await app.close();
      await pipeline.close();
      await idempotency.close();
      await claims?.close();
      await locks.close();
      if (redis !== undefined) await closeRedis(redis);
      await purged;
      await database.close();
    },
  };
}

function idempotencyOf(settings: Settings, database: Database, claims: ClaimStore): Idempotency {
  const records = new ConfirmedRecords(database);
  return createIdempotency({
    claims,
    records: {
      find: (tenant, key) => records.find(tenant, key),
      lookUp: (tenant, key) => lookUpRecord(database.reads, records, tenant, key),
    },
    leaseMs: settings.claimLeaseMs,
    waitMs: settings.idempotencyWaitMs,
  });
}

function pipelineOf(
  settings: Settings,
  parts: Pick<PipelineOptions, 'database' | 'locks' | 'observer'>,
): Pipeline {
  return new Pipeline({
    ...parts,
    retentionMs: settings.idempotencyRetentionHours * 3_600_000,
    render: renderOutcome,
    batchCommandsMax: settings.batchCommandsMax,
    batchLinesMax,
    queueCommandsMax: settings.queueCommandsMax,
    queueWaitMs: settings.queueWaitMs,
    lanesMax: parts.database.writes.options.max,
  });
}

/**
 * @returns whether the schema is this code's
 * @throws when the database does not answer, or takes no writes
 */
async function isUsable({ reads, lookups, writes }: Database): Promise<boolean> {
  await Promise.all([...new Set([reads, lookups, writes])].map(checkWrites));
  return isMigrated(lookups);
}

function fallbackTo(
  redis: RedisClient,
  identity: string,
  { metrics, logger }: { metrics: Metrics; logger: Logger },
): FallbackClaims {
  const prefix = `idempotency:${identity}`;
  return fallbackClaims(redisClaims(redis, { prefix }), memoryClaims(), {
    onDegraded: (error) => {
      metrics.claimsDegraded();
      logger.warn({ err: error }, 'Redis does not answer: claims are kept in memory');
    },
    onRecovered: () => logger.info('Redis answers again'),
  });
}

/** Says once that Redis is out of reach, not with every attempt. */
function quiet(logger: Logger, onChange: (error: Error) => void): (error: Error) => void {
  let last = '';
  return (error) => {
    if (error.message === last) return;
    last = error.message;
    onChange(error);
    logger.warn({ err: error }, 'Redis connection');
  };
}

/** One run for all who call it while it lasts. */
function shared<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= run().finally(() => {
      running = undefined;
    });
    return running;
  };
}
