#!/usr/bin/env node
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { jsonReport, junitReport, textReport } from './report.ts';
import { NotCheckable, runChecks } from './run.ts';
import type { TargetOptions } from './target.ts';

const usage = `onhand-idempotency-check URL --body FILE [options]

Checks how an HTTP API treats Idempotency-Key, from outside. It sends about 150 requests that take
effect: use a test account.

  --method METHOD             default POST
  --body FILE                 JSON that the API accepts
  --header 'Name: value'      for every request; may come several times
  --vary POINTER              JSON pointer of a value that may differ, such as /reference
  --second-credential 'Name: value'   header of a second caller
  --other-url URL             another route that takes the same body
  --failing-body FILE         JSON that makes the API fail
  --binary                    the API takes any bytes as application/octet-stream
  --observe URL               a GET that shows the effect as a number
  --observe-pointer POINTER   where in its JSON
  --key-optional              requests without a key are meant to run
  --rate N                    requests per second, default 200
  --max-requests N            default 1000
  --time-limit SECONDS        default 120
  --json FILE, --junit FILE   write a report

Exit code: 0 all passed, 1 something failed, 2 wrong use, 3 the API could not be checked.`;

const { values, positionals } = parse();
try {
  const results = await runChecks(await targetOptions());
  console.log(textReport(results));
  if (values.json) await writeFile(values.json, jsonReport(positionals[0] as string, results));
  if (values.junit) await writeFile(values.junit, junitReport(results));
  process.exitCode = results.some((result) => result.verdict === 'fail') ? 1 : 0;
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
        rate: text,
        'max-requests': text,
        'time-limit': text,
        json: text,
        junit: text,
        help: flag,
      },
    });
    if (parsed.values.help) exit(usage, 0);
    if (parsed.positionals.length !== 1 || !parsed.values.body) exit(usage, 2);
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
  const numbers = {
    rate: values.rate,
    requestsMax: values['max-requests'],
    timeLimitSeconds: values['time-limit'],
  };
  return {
    url: new URL(positionals[0] as string).href,
    body: JSON.parse(await readFile(values.body as string, 'utf8')),
    headers: (values.header ?? []).map(headerLine),
    ...(values.method && { method: values.method.toUpperCase() }),
    ...(values.vary !== undefined && { vary: values.vary }),
    ...(second && { secondCredential: headerLine(second) }),
    ...(values['other-url'] && { otherUrl: new URL(values['other-url']).href }),
    ...(failing && { failingBody: JSON.parse(await readFile(failing, 'utf8')) }),
    ...(values.observe && { observe: values.observe }),
    ...(values['observe-pointer'] && { observePointer: values['observe-pointer'] }),
    binary: values.binary ?? false,
    keyOptional: values['key-optional'] ?? false,
    ...Object.fromEntries(
      Object.entries(numbers).flatMap(([name, value]) =>
        value === undefined ? [] : [[name, positive(name, value)]],
      ),
    ),
  };
}

function headerLine(text: string): [string, string] {
  const colon = text.indexOf(':');
  if (colon < 1) throw new Error(`A header is written 'Name: value', not '${text}'.`);
  return [text.slice(0, colon), text.slice(colon + 1).trim()];
}

function positive(name: string, value: string): number {
  const number = Number(value);
  if (!(number > 0)) throw new Error(`${name} must be a positive number, not '${value}'.`);
  return number;
}
