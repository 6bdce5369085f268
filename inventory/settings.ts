import path from 'node:path';

/** A setting that cannot be used. Its message is one line that names it, the value and the rule. */
export class SettingsError extends Error {
  override name = 'SettingsError';
}

/**
 * How one setting is read and explained. `read` returns a sentence's end when it cannot be used.
 */
interface Setting<Value> {
  name: string;
  /** As it would be written in the environment; undefined = not set. */
  default: string | undefined;
  unit: string;
  bounds: string;
  description: string;
  isSecret?: boolean;
  read(text: string): Value | Fault;
}

/** What is wrong with a value: "must be …". */
class Fault {
  readonly rule: string;
  constructor(rule: string) {
    this.rule = rule;
  }
}

type Described = Pick<Setting<never>, 'name' | 'description'> & { default?: string };

function integer(at: Described & { unit: string; min: number; max: number }): Setting<number> {
  const bounds = `${format(at.min)} to ${format(at.max)}`;
  const read = (text: string) => {
    const value = Number(text);
    const isInRange = /^\d{1,15}$/.test(text) && value >= at.min && value <= at.max;
    return isInRange ? value : new Fault(`must be a whole number from ${bounds} (${at.unit})`);
  };
  return { default: undefined, ...at, bounds, read };
}

function address(
  at: Described & { bounds: string; matches: (text: string) => boolean },
): Setting<string> {
  const { bounds, matches } = at;
  const read = (text: string) =>
    matches(text) ? text : new Fault(`must be an address ${bounds.replaceAll(', ', ' or ')}`);
  return { default: undefined, ...at, unit: 'URL', isSecret: true, read };
}

function pattern(
  at: Described & { unit: string; bounds: string; matches: RegExp; isSecret?: boolean },
): Setting<string> {
  const read = (text: string) => (at.matches.test(text) ? text : new Fault(`must be ${at.bounds}`));
  return { default: undefined, ...at, read };
}

/** What can be an API key: too long to be guessed, and safe in a header. */
export const API_KEY = /^[\x21-\x7e]{16,200}$/;

/** What the client of Redis can read: at anything else it throws. */
function isRedisAddress(text: string): boolean {
  if (text.startsWith('unix:')) return text.startsWith('unix:///');
  const url = URL.parse(text);
  if (url === null || !/^rediss?:$/.test(url.protocol)) return false;
  if (!isDecodable(url.username) || !isDecodable(url.password)) return false;
  return url.hostname !== '' && /^\/?\d*$/.test(url.pathname);
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Digits in groups of three. (`toLocaleString` loads ICU's data, which each start would wait for.)
 */
function format(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** Settings without a default are undefined when not set. */
type Values = { [Key in keyof typeof REQUIRED]: Read<(typeof REQUIRED)[Key]> } & {
  [Key in keyof typeof OPTIONAL]: Read<(typeof OPTIONAL)[Key]> | undefined;
};
type Read<S> = S extends Setting<infer Value> ? Value : never;

/** Every setting of the service, read from the environment by {@link readSettings}. */
export type Settings = Readonly<Values>;

const OPTIONAL = {
  databaseUrl: address({
    name: 'DATABASE_URL',
    bounds: 'postgres://…, postgresql://…',
    matches: (text) => /^postgres(ql)?:\/\//.test(text),
    description: 'PostgreSQL 15 to 18. Not set: an embedded one, its data in `ONHAND_DATA_DIR`.',
  }),
  redisUrl: address({
    name: 'REDIS_URL',
    bounds: 'redis://HOST[:PORT][/NUMBER], rediss://…, unix:///PATH',
    matches: isRedisAddress,
    description:
      'Redis or Valkey for claims and locks. Not set: the one on PATH as a child, else memory.',
  }),
  apiKey: pattern({
    name: 'ONHAND_API_KEY',
    unit: 'text',
    bounds: '16 to 200 visible ASCII characters',
    matches: API_KEY,
    isSecret: true,
    description: 'Admin key to ensure for tenant `demo`. Not set: one is made, stored and printed.',
  }),
};

const REQUIRED = {
  port: integer({
    name: 'PORT',
    default: '8080',
    unit: 'TCP port',
    min: 0,
    max: 65_535,
    description: 'Port to listen on; 0 takes a free one.',
  }),
  host: pattern({
    name: 'HOST',
    default: '127.0.0.1',
    unit: 'address',
    bounds: 'an IP address or a host name',
    matches: /^[A-Za-z0-9.:_%-]{1,253}$/,
    description: 'Address to listen on; `0.0.0.0` or `::` for all.',
  }),
  dataDir: {
    name: 'ONHAND_DATA_DIR',
    default: '.onhand',
    unit: 'path',
    bounds: 'a path, relative to where the service starts',
    description: 'Folder of the embedded database and the generated API key.',
    read: (text: string) =>
      text.includes('\0') ? new Fault('must be a path') : path.resolve(text),
  } satisfies Setting<string>,
  logLevel: pattern({
    name: 'LOG_LEVEL',
    default: 'info',
    unit: 'level',
    bounds: 'one of trace, debug, info, warn, error, fatal, silent',
    matches: /^(trace|debug|info|warn|error|fatal|silent)$/,
    description: 'Least severe log line that is written.',
  }),
  databaseConnections: integer({
    name: 'ONHAND_DATABASE_CONNECTIONS',
    default: '16',
    unit: 'connections',
    min: 2,
    max: 200,
    description:
      'Connections to PostgreSQL, at most; batches of different tenants use them at once. From 6 on, some are kept for what commands look up, whatever is read.',
  }),
  batchCommandsMax: integer({
    name: 'ONHAND_BATCH_COMMANDS_MAX',
    default: '512',
    unit: 'commands',
    min: 1,
    max: 10_000,
    description: 'Commands that one transaction commits, at most.',
  }),
  queueCommandsMax: integer({
    name: 'ONHAND_QUEUE_COMMANDS_MAX',
    default: '10000',
    unit: 'commands',
    min: 1,
    max: 1_000_000,
    description: 'Commands waiting for a batch, at most; past it the answer is 503 `overloaded`.',
  }),
  queueWaitMs: integer({
    name: 'ONHAND_QUEUE_WAIT_MS',
    default: '5000',
    unit: 'milliseconds',
    min: 1,
    max: 600_000,
    description: 'Longest wait for a batch; past it the answer is 503 `overloaded`.',
  }),
  idempotencyRetentionHours: integer({
    name: 'ONHAND_IDEMPOTENCY_RETENTION_HOURS',
    default: '24',
    unit: 'hours',
    min: 1,
    max: 8_760,
    description: 'How long a recorded answer is kept for its idempotency key.',
  }),
  idempotencyWaitMs: integer({
    name: 'ONHAND_IDEMPOTENCY_WAIT_MS',
    default: '2000',
    unit: 'milliseconds',
    min: 0,
    max: 60_000,
    description: 'How long a duplicate waits for the first; then 409 `request-in-flight`.',
  }),
  claimLeaseMs: integer({
    name: 'ONHAND_CLAIM_LEASE_MS',
    default: '10000',
    unit: 'milliseconds',
    min: 500,
    max: 600_000,
    description: 'Lease of an idempotency claim; after a crash, a retry waits for it at most.',
  }),
  lockLeaseMs: integer({
    name: 'ONHAND_LOCK_LEASE_MS',
    default: '10000',
    unit: 'milliseconds',
    min: 500,
    max: 600_000,
    description: 'Lease of the lock over the products and warehouses of a batch.',
  }),
  lockWaitMs: integer({
    name: 'ONHAND_LOCK_WAIT_MS',
    default: '1000',
    unit: 'milliseconds',
    min: 0,
    max: 60_000,
    description: 'Longest wait for that lock; then row locks alone keep the order.',
  }),
  rateLimitPerSecond: integer({
    name: 'ONHAND_RATE_LIMIT_PER_SECOND',
    default: '0',
    unit: 'requests per second',
    min: 0,
    max: 1_000_000,
    description:
      'Requests of one API key, and of one address on routes that need none, at most; past it 429 `rate-limited`. 0 = no limit. `/healthz` and `/readyz` have none.',
  }),
  stopTimeoutMs: integer({
    name: 'ONHAND_STOP_TIMEOUT_MS',
    default: '10000',
    unit: 'milliseconds',
    min: 100,
    max: 600_000,
    description: 'How long a stop lets queued commands commit and be answered.',
  }),
};

const TABLE: Record<string, Setting<unknown>> = { ...REQUIRED, ...OPTIONAL };

/**
 * Reads every setting. What is set and empty counts as not set: compose files and CI pass variables
 * on that way.
 * @throws SettingsError for the first one that cannot be used
 */
export function readSettings(env: Record<string, string | undefined>): Settings {
  const read = Object.entries(TABLE).map(([key, setting]) => [key, readSetting(setting, env)]);
  return Object.freeze(Object.fromEntries(read)) as Settings;
}

function readSetting(setting: Setting<unknown>, env: Record<string, string | undefined>): unknown {
  const text = env[setting.name]?.trim() || setting.default;
  if (text === undefined) return undefined;
  const value = setting.read(text);
  if (!(value instanceof Fault)) return value;
  // A secret may stand in a log longer than it stays secret.
  const shown = setting.isSecret ? '' : `, not ${JSON.stringify(text.slice(0, 80))}`;
  throw new SettingsError(`${setting.name} ${value.rule}${shown}`);
}

/** All settings as a Markdown table, for the documentation. */
export function settingsTable(): string {
  const rows = Object.values(TABLE).map((setting) => {
    const initial = setting.default === undefined ? 'not set' : `\`${setting.default}\``;
    const cells = [`\`${setting.name}\``, initial, setting.unit, setting.bounds];
    return `| ${[...cells, setting.description].join(' | ')} |`;
  });
  const head = '| setting | default | unit | bounds | what it does |\n|---|---|---|---|---|';
  return `${[head, ...rows].join('\n')}\n`;
}
