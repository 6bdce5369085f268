import { parseArgs } from 'node:util';
import { API_KEY } from '../inventory/settings.ts';

export interface Options {
  readonly orders: string;
  /** Requests per second; 0 = as fast as the service answers. */
  readonly rate: number;
  /** Share of the invoices whose request is sent a second time, 0 to 1. */
  readonly duplicates: number;
  /** Invoices in flight. */
  readonly concurrency: number;
  /** Share of all leaving units that is received first, 0 to 1. */
  readonly opening: number;
  /** Name of the run in keys and warehouse; undefined = from the file's content. */
  readonly run: string | undefined;
  /** A running service; undefined = start one. */
  readonly service: { readonly url: string; readonly apiKey: string } | undefined;
}

/** The command line cannot be used. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export const usage = `npm run replay -- --orders FILE.csv[.gz] [options]

  --orders FILE      invoice,invoiced_at,units,stock_codes; plain or gzip
  --rate N           requests per second, at most (default: as fast as they are answered)
  --duplicates N     share of the requests sent twice with the same key (default 0.1)
  --concurrency N    invoices in flight, 1 to 512 (default 32)
  --opening N        share of all leaving units received as opening stock (default 1: all ship)
  --run NAME         name of the run in keys and warehouse (default: from the file's content);
                     a second run under one name posts nothing twice
  --url URL          a running service (default: starts one)
  --api-key KEY      its admin key, of a tenant for this purpose (default: ONHAND_API_KEY)

A service of its own keeps its data in ONHAND_DATA_DIR, else in a temporary folder that is removed
when every check has passed and kept otherwise.
`;

const FLAGS = ['orders', 'rate', 'duplicates', 'concurrency', 'opening', 'run', 'url', 'api-key'];

type Given = Partial<Record<string, string>>;

/** @throws UsageError with one line; its text is {@link usage} for --help */
export function readOptions(args: string[], env: Given): Options {
  const given = parse(args);
  if (given.orders === undefined) throw new UsageError('--orders FILE is needed');
  if (given.run !== undefined && !/^[A-Za-z0-9._-]{1,40}$/.test(given.run)) {
    throw new UsageError('--run must be 1 to 40 of A–Z a–z 0–9 . _ -');
  }
  return {
    orders: given.orders,
    rate: number(given, 'rate', 0, { min: 0, max: 100_000 }),
    duplicates: number(given, 'duplicates', 0.1, { min: 0, max: 1 }),
    concurrency: Math.floor(number(given, 'concurrency', 32, { min: 1, max: 512 })),
    opening: number(given, 'opening', 1, { min: 0, max: 1 }),
    run: given.run,
    service: serviceOf(given, env),
  };
}

function parse(args: string[]): Given {
  const options = Object.fromEntries(FLAGS.map((flag) => [flag, { type: 'string' as const }]));
  try {
    const { values } = parseArgs({ args, options: { ...options, help: { type: 'boolean' } } });
    if (values.help) throw new UsageError(usage);
    return values as Given;
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

function number(
  given: Given,
  flag: string,
  fallback: number,
  { min, max }: { min: number; max: number },
): number {
  const text = given[flag];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max) return value;
  throw new UsageError(`--${flag} must be a number from ${min} to ${max}, not ${text}`);
}

function serviceOf(given: Given, env: Given): Options['service'] {
  if (given.url === undefined) {
    if (given['api-key'] === undefined) return undefined;
    throw new UsageError('--api-key belongs to --url; a service of its own makes its key');
  }
  const name = given['api-key']?.trim() ? '--api-key' : 'ONHAND_API_KEY';
  const apiKey = given['api-key']?.trim() || env.ONHAND_API_KEY?.trim();
  if (!apiKey) throw new UsageError('--url needs --api-key or ONHAND_API_KEY');
  if (!API_KEY.test(apiKey)) {
    throw new UsageError(`${name} must be 16 to 200 visible ASCII characters`);
  }
  if (!/^https?:\/\/[^/]+/.test(given.url) || !URL.canParse(given.url)) {
    throw new UsageError(`--url must be an address http://… or https://…, not ${given.url}`);
  }
  return { url: given.url.replace(/\/+$/, ''), apiKey };
}
