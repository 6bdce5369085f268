import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ModelApp, type StartServer } from '../idempotency/testing/model-app.ts';
import * as frameworks from '../idempotency/testing/servers.ts';
import { BrokenServer, type Defect } from './broken/server.ts';
import { NotCheckable, type Result, runChecks, textReport } from './index.ts';

const body = { reference: 'PO-1', lines: [{ product: 'SKU-1', quantity: 5 }] };

async function check(t: TestContext, defect?: Defect): Promise<Result[]> {
  const server = await BrokenServer.start(defect);
  t.after(() => server.stop());
  return runChecks({
    url: `${server.url}/things`,
    otherUrl: `${server.url}/others`,
    body,
    failingBody: { ...body, fail: true },
    headers: [['Authorization', 'one']],
    secondCredential: ['Authorization', 'two'],
    binary: true,
    observe: `${server.url}/count`,
    timeoutMs: 5_000,
    settleMs: 400,
    rate: 5_000,
  });
}

const failedIds = (results: readonly Result[]) =>
  results.filter((result) => result.verdict === 'fail').map((result) => result.check.id);

test('a server without a defect passes every check', async (t) => {
  const results = await check(t);
  assert.deepEqual(failedIds(results), [], textReport(results));
  assert.equal(results.filter((result) => result.verdict === 'pass').length, results.length);
});

/** Which check names the defect; others may fail beside it. */
const named: Record<Defect, string> = {
  'unprotected-route': 'replay',
  'check-then-run': 'concurrent-duplicates',
  'unprotected-while-store-is-down': 'replay',
  'conflict-on-repeat': 'replay',
  'keys-not-scoped': 'other-credential',
  'mismatch-overwrites-answer': 'other-body',
  'errors-for-duplicates': 'concurrent-duplicates',
  'replay-drops-headers': 'replay-headers',
  'replay-keeps-cookie': 'replay-headers',
  'claim-stays-after-hang-up': 'client-hang-up',
  'slow-owner-overwrites': 'duplicates-of-a-slow-request',
  'reruns-after-throw': 'after-a-failure',
  'reruns-after-crash': 'after-a-failure',
  'in-flight-before-fingerprint': 'mismatch-in-flight',
  'quoted-is-another-key': 'quoted-and-bare',
  'binary-read-as-text': 'binary-body',
  'body-only-fingerprint': 'other-path',
  'member-order-counts': 'reordered-json',
  'cuts-long-keys': 'key-length',
  'picks-one-of-two-headers': 'repeated-header',
  'no-replay-mark': 'replay-marker',
  'key-not-required': 'missing-key',
};

for (const [defect, id] of Object.entries(named) as [Defect, string][]) {
  test(`${defect} is found by ${id}`, async (t) => {
    const results = await check(t, defect);
    assert.ok(failedIds(results).includes(id), textReport(results));
  });
}

for (const [name, start] of Object.entries(frameworks) as [string, StartServer][]) {
  test(`the adapter of ${name} passes every check`, async (t) => {
    const server = await start(new ModelApp(), {});
    t.after(() => server.close());
    const results = await runChecks({
      url: `${server.url}/things`,
      otherUrl: `${server.url}/other`,
      body,
      headers: [['Authorization', 'one']],
      secondCredential: ['Authorization', 'two'],
      rate: 5_000,
    });
    assert.deepEqual(failedIds(results), [], textReport(results));
    const skipped = results.filter((result) => result.verdict === 'not-applicable');
    const ids = skipped.map((result) => result.check.id);
    assert.deepEqual(ids, ['binary-body', 'after-a-failure']);
  });
}

test('an address that does not answer, or refuses the request, gives one clear message', async (t) => {
  const nobody = { url: 'http://127.0.0.1:1/', body };
  await assert.rejects(runChecks(nobody), (error: Error) => {
    assert.ok(error instanceof NotCheckable);
    assert.match(error.message, /127\.0\.0\.1:1\/ does not answer: .*ECONNREFUSED/);
    return true;
  });
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const refused = {
    url: `${server.url}/things`,
    body,
    headers: [['Idempotency-Key', 'k']] as const,
  };
  await assert.rejects(runChecks(refused), NotCheckable);
});

test('a run stops at its limit of requests and of time', async (t) => {
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const options = { url: `${server.url}/things`, body };
  for (const limit of [{ requestsMax: 10 }, { timeLimitSeconds: 0.2 }]) {
    const results = await runChecks({ ...options, ...limit });
    const last = results.at(-1) as Result;
    assert.equal(last.verdict, 'not-applicable');
    assert.ok(results.some((result) => result.reason.startsWith('stopped:')));
  }
});

test('the rate limit spreads the requests', async (t) => {
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const began = performance.now();
  await runChecks({ url: `${server.url}/things`, body, rate: 50, requestsMax: 12 });
  assert.ok(performance.now() - began > 11 * 20 - 5);
});

test('the command writes reports without credentials and exits by the outcome', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  t.after(() => rm(folder, { recursive: true }));
  const [right, wrong] = [await BrokenServer.start(), await BrokenServer.start('no-replay-mark')];
  t.after(() => [right.stop(), wrong.stop()]);
  const file = join(folder, 'body.json');
  await writeFile(file, JSON.stringify(body));
  const json = join(folder, 'out.json');
  const junit = join(folder, 'out.xml');
  const reports = ['--json', json, '--junit', junit, '--rate', '5000'];
  const header = ['--header', 'Authorization: secret-1'];
  const good = await run([`${right.url}/things`, '--body', file, ...header, ...reports]);
  assert.equal(good.code, 0, good.output);
  assert.match(good.output, /pass {2}replay /);
  const bad = await run([`${wrong.url}/things`, '--body', file, ...header, ...reports]);
  assert.equal(bad.code, 1, bad.output);
  assert.match(bad.output, /FAIL {2}replay-marker/);
  const report = await readFile(json, 'utf8');
  assert.ok(!report.includes('secret-1'));
  const failed = JSON.parse(report).results.filter(
    (r: { verdict: string }) => r.verdict === 'fail',
  );
  assert.deepEqual(
    failed.map((r: { id: string }) => r.id),
    ['replay-marker'],
  );
  assert.match(await readFile(junit, 'utf8'), /failures="1"[\s\S]*<failure message="the repeat is/);
  assert.equal((await run([])).code, 2);
  assert.equal((await run(['http://127.0.0.1:1', '--body', file])).code, 3);
});

async function run(args: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  return { code, output };
}
