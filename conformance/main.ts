#!/usr/bin/env node
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { failures, jsonReport, junitReport, resultLine, summary } from './report.ts';
import { runChecks } from './run.ts';
import { NotCheckable, type TargetOptions } from './target.ts';

const usage = `onhand-idempotency-check URL --body FILE [options]

Checks how an HTTP API treats Idempotency-Key, from outside. It sends about 150 requests, and some
of them take effect: use a test account.

  --method METHOD             default POST
  --body FILE                 JSON that the API accepts
  --header 'Name: value'      for every request; may come several times
  --vary POINTER              JSON pointer of a value that may differ, such as /reference;
                              default: the first with which the API takes the request
  --second-credential 'Name: value'   header of a second caller
  --other-url URL             another route that takes the same body
  --failing-body FILE         JSON that makes the API fail
  --binary                    the API takes any bytes as application/octet-stream
  --observe URL               a GET that shows the effect as a number
  --observe-pointer POINTER   where in its JSON
  --key-optional              requests without a key are meant to run
  --timeout SECONDS           for one answer, default 10
  --rate N                    requests per second, default 200
  --max-requests N            default 1000
  --time-limit SECONDS        default 120
  --json FILE, --junit FILE   write a report

Exit code: 0 nothing failed, 1 something failed, 2 wrong use, 3 the API could not be checked, or not
to the end.`;

const { values, positionals } = parse();
try {
  const options = await targetOptions();
  const results = await runChecks(options, (result) => console.log(resultLine(result)));
  console.log([...failures(results), '', summary(results)].join('\n'));
  if (values.json) await writeFile(values.json, jsonReport(positionals[0] as string, results));
  if (values.junit) await writeFile(values.junit, junitReport(results));
  const failed = results.some((result) => result.verdict === 'fail');
  const stopped = results.some((result) => result.stopped);
  process.exitCode = failed ? 1 : stopped ? 3 : 0;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof NotCheckable ? 3 : 2;
}

function parse() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    const parsed = parseArgs({
      allowPositionals: true,
      options: {
        method: text,
        body: text,
        header: { type: 'string', multiple: true },
        vary: text,
        'second-credential': text,
        'other-url': text,
        'failing-body': text,
        binary: flag,
        observe: text,
        'observe-pointer': text,
        'key-optional': flag,
        timeout: text,
        rate: text,
        'max-requests': text,
        'time-limit': text,
        json: text,
        junit: text,
        help: flag,
      },
    });
    if (parsed.values.help) exit(usage, 0);
    if (parsed.positionals.length !== 1) exit(`One URL must be given.\n\n${usage}`, 2);
    if (!parsed.values.body) exit(`--body FILE must be given.\n\n${usage}`, 2);
    return parsed;
  } catch (error) {
    return exit(`${error instanceof Error ? error.message : error}\n\n${usage}`, 2);
  }
}

function exit(text: string, code: number): never {
  (code === 0 ? console.log : console.error)(text);
  process.exit(code);
}

async function targetOptions(): Promise<TargetOptions> {
  const second = values['second-credential'];
  const failing = values['failing-body'];
  const timeout = positive('timeout');
  const options = {
    url: address('the URL', positionals[0] as string),
    body: await json('body', values.body as string),
    headers: (values.header ?? []).map(headerLine),
    method: values.method?.toUpperCase(),
    vary: values.vary,
    secondCredential: second === undefined ? undefined : headerLine(second),
    otherUrl: values['other-url'] && address('--other-url', values['other-url']),
    failingBody: failing && (await json('failing-body', failing)),
    observe: values.observe && address('--observe', values.observe),
    observePointer: values['observe-pointer'],
    binary: values.binary ?? false,
    keyOptional: values['key-optional'] ?? false,
    timeoutMs: timeout && timeout * 1_000,
    rate: positive('rate'),
    requestsMax: positive('max-requests'),
    timeLimitSeconds: positive('time-limit'),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as unknown as TargetOptions;
}

function address(name: string, text: string): string {
  const url = URL.parse(text);
  if (url && /^https?:$/.test(url.protocol)) return url.href;
  throw new Error(`${name} must be http:// or https://, not '${text}'.`);
}

async function json(name: string, file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new Error(`--${name} ${file} is no JSON file: ${(error as Error).message}`);
  }
}

function headerLine(text: string): [string, string] {
  const colon = text.indexOf(':');
  if (colon < 1) throw new Error(`A header is written 'Name: value', not '${text}'.`);
  return [text.slice(0, colon), text.slice(colon + 1).trim()];
}

function positive(name: 'timeout' | 'rate' | 'max-requests' | 'time-limit'): number | undefined {
  const value = values[name];
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!(number > 0)) throw new Error(`--${name} must be a positive number, not '${value}'.`);
  return number;
}
