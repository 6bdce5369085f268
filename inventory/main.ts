import { lookup } from 'node:dns/promises';
import { type Logger, pino } from 'pino';
import { sha256 } from './http/authentication.ts';
import { keptApiKey, keyFile } from './keptApiKey.ts';
import { ensureApiKey, startKey } from './postgres/apiKeys.ts';
import { migrate } from './postgres/migrate.ts';
import { MigrationError } from './postgres/refuseDatabase.ts';
import { startChildRedis } from './runtime/childRedis.ts';
import { startEmbeddedPostgres } from './runtime/embeddedPostgres.ts';
import { forgetLibpqVariables } from './runtime/libpqVariables.ts';
import { LogStream } from './runtime/logStream.ts';
import { reasonOf, StartError, withoutDatabase } from './runtime/startError.ts';
import { createService, type Service } from './service.ts';
import { readSettings, type Settings, SettingsError } from './settings.ts';

interface Backing {
  readonly databaseUrl: string;
  readonly redisUrl: string | undefined;
  /** Where the data is, for the person who started it. */
  readonly data: string;
  /** Which Redis it is, for the same; undefined without one. */
  readonly redis: string | undefined;
  readonly failed: Promise<string>;
  stop(): Promise<void>;
}

/** Starts what the settings do not name: an embedded PostgreSQL, a Redis found on PATH. */
async function startBacking(settings: Settings, logger: Logger): Promise<Backing> {
  const stops: (() => Promise<void>)[] = [];
  const failures: Promise<string>[] = [new Promise(() => {})];
  const stop = async () => {
    for (const each of stops.toReversed()) await each();
  };
  const log = (line: string) => logger.debug(line);
  try {
    let { databaseUrl, redisUrl } = settings;
    let data = 'in the database of DATABASE_URL';
    if (databaseUrl === undefined) {
      forgetLibpqVariables();
      const embedded = await startEmbeddedPostgres({
        dataDir: settings.dataDir,
        log,
        connectionsMax: Math.max(100, settings.databaseConnections + 20),
      });
      stops.push(embedded.stop);
      failures.push(embedded.failed);
      databaseUrl = embedded.url;
      data = `in ${embedded.dataDir} (embedded PostgreSQL)`;
    }
    let redis: string | undefined = 'at REDIS_URL';
    if (redisUrl === undefined) {
      const child = await startChildRedis({ log, warn: (line) => logger.warn(line) });
      redisUrl = child?.url;
      if (child !== undefined) stops.push(child.stop);
      redis = child === undefined ? undefined : 'run as a child';
    }
    return {
      databaseUrl,
      redisUrl,
      data,
      redis,
      failed: Promise.race(failures),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(): Promise<void> {
  const settings = readSettings(process.env);
  const logger = pino(
    { level: settings.logLevel, redact: ['req.headers.authorization'] },
    new LogStream(2),
  );
  const backing = await startBacking(settings, logger);
  let service: Service | undefined;
  try {
    await migrateOrExplain(backing.databaseUrl, settings, logger);
    const apiKey = settings.apiKey ?? keptApiKey(settings.dataDir);
    service = await createService(settings, backing, logger);
    await ensureAdmin(service, apiKey, settings);
    const url = await listen(service, settings);
    // First: whoever reads that it listens may stop it.
    stopOnSignals(service, backing, settings, logger);
    sayReady({ url, apiKey, settings, backing, service });
  } catch (error) {
    await service?.stop();
    await backing.stop();
    throw withoutDatabase(error);
  }
}

async function ensureAdmin(
  { database }: Service,
  apiKey: string,
  settings: Settings,
): Promise<void> {
  const outcome = await ensureApiKey(database.writes, startKey, sha256(apiKey));
  if (outcome === 'ensured') return;
  const why = outcome === 'taken' ? 'is the key of another name or tenant' : 'was revoked';
  if (settings.apiKey !== undefined) {
    throw new StartError(`ONHAND_API_KEY ${why}: set one of its own`);
  }
  throw new StartError(
    `the API key in ${keyFile(settings.dataDir)} ${why}: remove the file to have a new one made`,
  );
}

async function migrateOrExplain(
  url: string,
  { databaseUrl, dataDir }: Settings,
  logger: Logger,
): Promise<void> {
  try {
    await migrate(url, { warn: (line) => logger.warn(line) });
  } catch (error) {
    if (error instanceof MigrationError) throw new StartError(error.message);
    const database =
      databaseUrl === undefined
        ? `the embedded database in ${dataDir}`
        : 'the database of DATABASE_URL';
    throw new StartError(`${database} cannot be used: ${reasonOf(error)}`);
  }
}

async function listen({ app }: Service, { host, port }: Settings): Promise<string> {
  try {
    // Of a name with two addresses, as localhost has, Fastify makes two servers, and the second has
    // nothing of what was put on the first.
    const { address } = await lookup(host);
    return await app.listen({ host: address, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') {
      throw new StartError(`port ${port} on ${host} is taken: set PORT to another one`);
    }
    throw new StartError(`cannot listen on ${host}:${port}: ${reasonOf(error)}`);
  }
}

interface Started {
  readonly url: string;
  readonly apiKey: string;
  readonly settings: Settings;
  readonly backing: Backing;
  readonly service: Service;
}

function sayReady({ url, apiKey, settings, backing, service }: Started): void {
  const shownKey = settings.apiKey === undefined ? apiKey : '$ONHAND_API_KEY';
  const lines = [
    `onhand listening on ${url}`,
    '',
    `  API key   ${settings.apiKey === undefined ? apiKey : 'the one in ONHAND_API_KEY'} (admin of tenant demo)`,
    `  data      ${backing.data}`,
    `  claims    ${claimsIn(backing, service)}`,
    `  API       ${url}/docs`,
    '',
    'Register a warehouse and a product, then receive five of it:',
    '',
    `  curl -X PUT ${url}/v1/warehouses/W1 -H "Authorization: Bearer ${shownKey}"`,
    `  curl -X PUT ${url}/v1/products/SKU-1 -H "Authorization: Bearer ${shownKey}"`,
    `  curl -i ${url}/v1/receipts -H "Authorization: Bearer ${shownKey}" \\`,
    `    -H 'Idempotency-Key: "po-1"' -H 'Content-Type: application/json' \\`,
    `    -d '{"warehouse":"W1","reference":"PO-1","lines":[{"product":"SKU-1","quantity":5}]}'`,
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Where claims are kept now; the start has not waited for Redis. */
function claimsIn({ redis }: Backing, { redisFault }: Service): string {
  if (redis === undefined) {
    return 'in memory: no redis-server or valkey-server on PATH, so run one process only';
  }
  const fault = redisFault();
  return fault === undefined
    ? `in Redis, ${redis}`
    : `in memory until Redis, ${redis}, answers (${fault})`;
}

/** Ctrl-C reaches this process from the terminal, and once more from npm: that is one signal. */
const sameSignalMs = 500;

/**
 * Stops gracefully on SIGTERM and SIGINT, within `stopTimeoutMs`; a second signal stops at once.
 * Nothing is lost either way: what was not answered was not promised.
 */
function stopOnSignals(
  service: Service,
  backing: Backing,
  settings: Settings,
  logger: Logger,
): void {
  let stoppingSince: number | undefined;
  const stop = (why: string, code: number) => {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince > sameSignalMs) process.exit(1);
      return;
    }
    stoppingSince = performance.now();
    logger.info(`stopping: ${why}`);
    setTimeout(() => {
      logger.error(`not stopped after ${settings.stopTimeoutMs} ms: ending at once`);
      process.exit(1);
    }, settings.stopTimeoutMs).unref();
    service
      .stop()
      .then(() => backing.stop())
      .then(
        () => process.exit(code),
        (error) => {
          logger.error({ err: error }, 'stopping failed');
          process.exit(1);
        },
      );
  };
  process.on('SIGTERM', () => stop('SIGTERM', 0));
  process.on('SIGINT', () => stop('SIGINT', 0));
  backing.failed.then((line) => {
    process.stderr.write(`onhand: ${line}\n`);
    stop('the embedded database ended', 1);
  });
}

// Who reads along may go, and a disk may be full, as for the logs: the service goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
try {
  await start();
} catch (error) {
  const isExplained = error instanceof SettingsError || error instanceof StartError;
  process.stderr.write(`onhand: ${isExplained ? error.message : (error as Error).stack}\n`);
  process.exit(1);
}
