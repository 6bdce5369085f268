import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type Role, sha256 } from './http/authentication.ts';
import { createApiKey, listApiKeys, revokeApiKey, startKey } from './postgres/apiKeys.ts';
import { openDatabase } from './postgres/database.ts';
import { migrate } from './postgres/migrate.ts';
import { MigrationError } from './postgres/refuseDatabase.ts';
import { startEmbeddedPostgres } from './runtime/embeddedPostgres.ts';
import { forgetLibpqVariables } from './runtime/libpqVariables.ts';
import { hasCluster, runningPostgresUrl } from './runtime/runningPostgres.ts';
import { reasonOf, StartError, withoutDatabase } from './runtime/startError.ts';
import { readSettings, type Settings, SettingsError } from './settings.ts';

/**
 * `npm run api-keys`: makes, lists and revokes the API keys of a tenant.
 *
 * Works on DATABASE_URL, else on the embedded database in ONHAND_DATA_DIR, whether the service runs
 * (over the same socket) or not (then it is started for the moment). Standard output holds the key
 * or the list alone; everything else goes to standard error. Exits with 0, 1 when it was not done,
 * 2 for a wrong command line.
 */

const usage = `npm run api-keys -- create --tenant NAME --role reader|writer|admin --name NAME
npm run api-keys -- list --tenant NAME
npm run api-keys -- revoke --tenant NAME --name NAME
`;

/** The command line cannot be used. */
class UsageError extends Error {}

/** It was understood and cannot be done. */
class RefusedError extends Error {}

type Given = { tenant: string; name: string; role: Role };

const ACTIONS: Record<string, { needs: (keyof Given)[]; run: Action }> = {
  create: { needs: ['tenant', 'role', 'name'], run: create },
  list: { needs: ['tenant'], run: list },
  revoke: { needs: ['tenant', 'name'], run: revoke },
};

type Action = (pool: pg.Pool, given: Given) => Promise<string>;

const RULES: Record<keyof Given, { pattern: RegExp; sentence: string }> = {
  tenant: {
    pattern: /^[a-z0-9][a-z0-9-]{0,62}$/,
    sentence: '1 to 63 of a–z 0–9 -, not beginning with -',
  },
  role: { pattern: /^(reader|writer|admin)$/, sentence: 'reader, writer or admin' },
  name: { pattern: /^[A-Za-z0-9._:-]{1,64}$/, sentence: '1 to 64 of A–Z a–z 0–9 . _ : -' },
};

async function main(args: string[]): Promise<number> {
  try {
    const { action, given } = readCommand(args);
    const output = await withDatabase(readSettings(process.env), (pool) => action(pool, given));
    process.stdout.write(output);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`api-keys: ${error.message}\n\n${usage}`);
      return 2;
    }
    const kinds = [RefusedError, StartError, SettingsError, MigrationError];
    const isExplained = kinds.some((kind) => error instanceof kind);
    const { message, stack } = error as Error;
    process.stderr.write(`api-keys: ${isExplained ? message : stack}\n`);
    return 1;
  }
}

function readCommand(args: string[]): { action: Action; given: Given } {
  const { positionals, values } = parse(args);
  const [verb = ''] = positionals;
  const action = Object.hasOwn(ACTIONS, verb) ? ACTIONS[verb] : undefined;
  if (action === undefined || positionals.length !== 1) {
    throw new UsageError(`name one of ${Object.keys(ACTIONS).join(', ')}`);
  }
  for (const option of ['tenant', 'role', 'name'] as const) {
    const text = values[option];
    const isNeeded = action.needs.includes(option);
    if (!isNeeded && text !== undefined) throw new UsageError(`${verb} takes no --${option}`);
    if (!isNeeded) continue;
    const { pattern, sentence } = RULES[option];
    if (text === undefined) throw new UsageError(`${verb} needs --${option}: ${sentence}`);
    if (!pattern.test(text)) throw new UsageError(`--${option} must be ${sentence}`);
  }
  return { action: action.run, given: values as Given };
}

/** @throws UsageError also for an option that is given twice, of which the last would count */
function parse(args: string[]) {
  const option = { type: 'string' } as const;
  const options = { tenant: option, role: option, name: option };
  try {
    const parsed = parseArgs({ args, allowPositionals: true, options, tokens: true });
    const names = parsed.tokens.flatMap((token) => (token.kind === 'option' ? [token.name] : []));
    const repeated = names.find((name, at) => names.indexOf(name) < at);
    if (repeated !== undefined) throw new UsageError(`--${repeated} is given more than once`);
    return parsed;
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

async function create(pool: pg.Pool, { tenant, role, name }: Given): Promise<string> {
  if (tenant === startKey.tenant && name === startKey.name) {
    throw new RefusedError(
      `${name} of ${tenant} is the key that the service is started with: choose another name, or start it with another ONHAND_API_KEY`,
    );
  }
  const key = `onhand_${randomBytes(24).toString('base64url')}`;
  if (!(await createApiKey(pool, { tenant, role, name }, sha256(key)))) {
    throw new RefusedError(`tenant ${tenant} has a key ${name}: revoke it or choose another name`);
  }
  process.stderr.write(`The ${role} key ${name} of tenant ${tenant}. It is shown only now:\n`);
  return `${key}\n`;
}

async function list(pool: pg.Pool, { tenant }: Given): Promise<string> {
  const keys = await listApiKeys(pool, tenant);
  const rows = keys.map(({ name, role, createdAt, revokedAt }) => [
    name,
    role,
    createdAt.toISOString(),
    revokedAt?.toISOString() ?? '-',
  ]);
  const table = [['name', 'role', 'created', 'revoked'], ...rows];
  const widths = [0, 1, 2, 3].map((at) => Math.max(...table.map((row) => row[at]?.length ?? 0)));
  const line = (row: string[]) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ');
  return `${table.map((row) => line(row).trimEnd()).join('\n')}\n`;
}

async function revoke(pool: pg.Pool, { tenant, name }: Given): Promise<string> {
  if (!(await revokeApiKey(pool, tenant, name))) {
    throw new RefusedError(`tenant ${tenant} has no valid key ${name}`);
  }
  process.stderr.write(`Revoked ${name} of tenant ${tenant}; a service refuses it within 5 s.\n`);
  return '';
}

async function withDatabase<T>(settings: Settings, use: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const { url, stop } = await findDatabase(settings);
  try {
    return await withPool(url, use);
  } finally {
    await stop();
  }
}

const nothingToStop = async () => {};

/** @throws StartError when there is none, or when it is just being started or stopped */
async function findDatabase({ databaseUrl, dataDir }: Settings) {
  if (databaseUrl !== undefined) {
    const reason = await reasonNotToConnect(databaseUrl);
    if (reason === undefined) return { url: databaseUrl, stop: nothingToStop };
    throw new StartError(`the database of DATABASE_URL cannot be used: ${reason}`);
  }
  if (!hasCluster(dataDir)) {
    throw new StartError(
      `there is no database in ${dataDir}: start the service once, or set DATABASE_URL or ONHAND_DATA_DIR`,
    );
  }
  forgetLibpqVariables();
  const running = runningPostgresUrl(dataDir);
  if (running !== undefined && (await reasonNotToConnect(running)) === undefined) {
    return { url: running, stop: nothingToStop };
  }
  const log = (line: string) => void process.stderr.write(`${line}\n`);
  return startEmbeddedPostgres({ dataDir, log });
}

async function reasonNotToConnect(url: string): Promise<string | undefined> {
  let client: pg.Client | undefined;
  try {
    // Reads the files that the URL names, and throws at what cannot be one.
    client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {});
    await client.connect();
    return undefined;
  } catch (error) {
    return reasonOf(error);
  } finally {
    await client?.end().catch(() => {});
  }
}

/** Keys may be made before the first start of a service: the schema is made as it would make it. */
async function withPool<T>(url: string, use: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const database = openDatabase({ url, connections: 2 });
  try {
    await migrate(url);
    return await use(database.reads);
  } catch (error) {
    throw withoutDatabase(error);
  } finally {
    await database.close();
  }
}

process.exitCode = await main(process.argv.slice(2));
