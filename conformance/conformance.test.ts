import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { nodeIdempotency } from '../idempotency/adapters/node-http.ts';
import { ModelApp, type ModelReply, type StartServer } from '../idempotency/testing/model-app.ts';
import * as frameworks from '../idempotency/testing/servers.ts';
import { BrokenServer, type Defect } from './broken/server.ts';
import { say } from './checks/check.ts';
import { NotCheckable, type Result, runChecks, textReport } from './index.ts';
import { Target } from './target.ts';

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

/** Which check names the defect, and how; others may fail beside it. */
const named: Record<Defect, [id: string, reason: RegExp]> = {
  'unprotected-route': ['replay', /^the effect happened 2 times instead of 1; /],
  'check-then-run': [
    'concurrent-duplicates',
    /^the effect happened ([2-9]|[1-4]\d|50) times instead of 1; /,
  ],
  'unprotected-while-store-is-down': ['replay', /^the effect happened 2 times instead of 1; /],
  'conflict-on-repeat': ['replay', /^201 .*, then 409 /],
  'keys-not-scoped': ['other-credential', /^it got the first answer: 201 /],
  'mismatch-overwrites-answer': ['other-body', /^the refusal replaced the first answer: 422 /],
  'errors-for-duplicates': ['concurrent-duplicates', /^a duplicate got 500 /],
  'replay-drops-headers': ['replay-headers', /^location: .*, then undefined$/],
  'replay-keeps-cookie': ['replay-headers', /^the repeat sets a cookie$/],
  'claim-stays-after-hang-up': ['client-hang-up', /after hanging up after-request: 409 /],
  'own-claim-refused-on-resend': ['concurrent-duplicates', /0 times .* all were refused with 409$/],
  'slow-owner-overwrites': ['duplicates-of-a-slow-request', /; different answers: 201 /],
  'reruns-after-throw': ['after-a-failure', /times: the retry ran it again$/],
  'reruns-after-crash': ['after-a-failure', /times: the retry ran it again$/],
  'in-flight-before-fingerprint': ['mismatch-in-flight', /^expected 422, got 409 /],
  'quoted-is-another-key': ['quoted-and-bare', /^two keys: /],
  'binary-read-as-text': ['binary-body', /^expected 422, got 201 /],
  'body-only-fingerprint': ['other-path', /^it got the first answer: 201 /],
  'member-order-counts': ['reordered-json', /, then 422 /],
  'cuts-long-keys': ['key-length', /^a key of 256 characters was cut to the one of 255$/],
  'picks-one-of-two-headers': ['repeated-header', /^expected 400, got 201 /],
  'no-replay-mark': ['replay-marker', /^the repeat is not marked$/],
  'key-not-required': ['missing-key', /^expected 400, got 201 .*; give --key-optional /],
};

function findsDefect(defect: Defect, [id, reason]: [string, RegExp]) {
  test(`${defect} is found by ${id}`, async (t) => {
    const results = await check(t, defect);
    const result = results.find((found) => found.check.id === id);
    assert.equal(result?.verdict, 'fail', textReport(results));
    assert.match(result.reason, reason);
  });
}

/** Their requests must meet in the server, which takes a process that does nothing else. */
const races = new Set([
  'concurrent-duplicates',
  'duplicates-of-a-slow-request',
  'mismatch-in-flight',
  'client-hang-up',
]);
const defects = Object.entries(named) as [Defect, [string, RegExp]][];
const { alone = [], together = [] } = Object.groupBy(defects, ([, [id]]) =>
  races.has(id) ? 'alone' : 'together',
);

for (const [defect, found] of alone) findsDefect(defect, found);

// What is left of them is mostly waiting.
suite('beside each other', { concurrency: 4 }, () => {
  for (const [defect, found] of together) findsDefect(defect, found);

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
});

/** Takes one warehouse only, and refuses a caller that it does not know. */
class PickyApp extends ModelApp {
  override async handle(...args: Parameters<ModelApp['handle']>): Promise<ModelReply> {
    const { warehouse } = args[1] as { warehouse: string };
    if (warehouse === 'W1') return super.handle(...args);
    return { status: 404, headers: {}, body: { json: { code: 'unknown-warehouse' } } };
  }
}

test('what may differ in the body is found, or asked for', async (t) => {
  const server = await frameworks.nodeServer(new PickyApp(), {});
  t.after(() => server.close());
  const options = { url: `${server.url}/things`, rate: 5_000 };
  const results = await runChecks({ ...options, body: { warehouse: 'W1', note: 'a' } });
  assert.deepEqual(failedIds(results), [], textReport(results));
  assert.equal(results.find(({ check }) => check.id === 'other-body')?.verdict, 'pass');
  const rigid = await runChecks({ ...options, body: { warehouse: 'W1' } });
  assert.deepEqual(failedIds(rigid), [], textReport(rigid));
  const asked = rigid.filter(({ reason }) => reason.endsWith('/warehouse (404); give --vary'));
  const ids = asked.map(({ check, verdict }) => `${check.id} ${verdict}`);
  assert.deepEqual(ids, [
    'key-length not-applicable',
    'other-body not-applicable',
    'mismatch-in-flight not-applicable',
  ]);
  const nowhere = { ...options, body: { warehouse: 'W1' }, vary: '/no~1where' };
  await assert.rejects(runChecks(nowhere), /The body has no value at '\/no~1where'\./);
});

test('a second caller or another route that is refused anyway proves nothing', async (t) => {
  const layer = nodeIdempotency({ scope: (req) => String(req.headers.authorization) });
  t.after(() => layer.close());
  let runs = 0;
  const guarded = layer.protect((_, res) => void res.writeHead(201).end(String(++runs)));
  const server = createServer((req, res) => {
    if (req.headers.authorization !== 'one') res.writeHead(401).end();
    else if (req.url !== '/things') res.writeHead(404).end();
    else guarded(req, res);
  });
  t.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const results = await runChecks({
    url: `${url}/things`,
    otherUrl: `${url}/nothing`,
    body,
    headers: [['Authorization', 'one']],
    secondCredential: ['Authorization', 'mistyped'],
    rate: 5_000,
  });
  const found = (id: string) => results.find(({ check }) => check.id === id);
  assert.match(found('other-credential')?.reason ?? '', /^no second caller: 401 /);
  assert.match(found('other-path')?.reason ?? '', /^nothing is there: 404 /);
  assert.equal(found('other-credential')?.verdict, 'not-applicable');
  assert.equal(found('other-path')?.verdict, 'not-applicable');
});

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
  const blind = { url: `${server.url}/things`, body, observe: 'http://user:pass@127.0.0.1:1/n' };
  await assert.rejects(runChecks(blind), (error: Error) => {
    assert.ok(error instanceof NotCheckable);
    assert.match(
      error.message,
      /^http:\/\/…@127\.0\.0\.1:1\/n must show a number, but got .*REFUSED/,
    );
    return true;
  });
});

test('an answer of many lines is shown in one', () => {
  const received = { status: 417, headers: {}, body: Buffer.from('<html>\r\n  <p>no\n</html>\n') };
  assert.equal(say(received), '417 <html> <p>no </html>');
});

test('exchanges that look alike are one line of the report', async (t) => {
  const results = await check(t, 'errors-for-duplicates');
  const report = textReport(results);
  // All that came before the first had its answer: how many depends on the machine.
  assert.match(report, /→ 500 \{"status":500\} \(([2-9]|[1-4]\d) times, \d+–\d+ ms\)/);
});

test('a run stops at its limit of requests and of time', async (t) => {
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const options = { url: `${server.url}/things`, body };
  for (const limit of [{ requestsMax: 10 }, { timeLimitSeconds: 0.2 }]) {
    const results = await runChecks({ ...options, ...limit });
    const last = results.at(-1) as Result;
    assert.equal(last.verdict, 'not-applicable');
    assert.ok(results.some((result) => result.reason.startsWith('stopped: the limit of ')));
    assert.ok(results.some((result) => result.stopped));
  }
});

test('a burst that is stopped leaves nothing running', async (t) => {
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const target = new Target({ url: `${server.url}/things`, body, requestsMax: 3 });
  const copies = Array.from({ length: 5 }, () => ({ key: target.newKey() }));
  await assert.rejects(target.burst(copies), /the limit of 3 requests/);
  assert.equal(target.evidence.length, 3, 'all that were sent are answered');
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
  const header = ['--header', 'Authorization: secret-1', '--header', 'X-Tenant: secret-2'];
  const credential = right.url.replace('//', '//user:secret-3@');
  const good = await run([`${credential}/things`, '--body', file, ...header, ...reports]);
  assert.equal(good.code, 0, good.output);
  assert.match(good.output, /pass {2}replay /);
  for (const file of [json, junit]) {
    // `session=` is what the server sets as a cookie.
    assert.doesNotMatch(await readFile(file, 'utf8'), /secret-|session=/);
  }
  const bad = await run([`${wrong.url}/things`, '--body', file, ...header, ...reports]);
  assert.equal(bad.code, 1, bad.output);
  assert.match(bad.output, /FAIL {2}replay-marker/);
  const report = await readFile(json, 'utf8');
  const failed = JSON.parse(report).results.filter(
    (r: { verdict: string }) => r.verdict === 'fail',
  );
  assert.deepEqual(
    failed.map((r: { id: string }) => r.id),
    ['replay-marker'],
  );
  assert.match(
    await readFile(junit, 'utf8'),
    /failures="1"[\s\S]*<failure message="the repeat is[^>]*>POST .*→ 201/,
  );
});

test('the command says what is wrong with how it was called', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'));
  t.after(() => rm(folder, { recursive: true }));
  const server = await BrokenServer.start();
  t.after(() => server.stop());
  const file = join(folder, 'body.json');
  await writeFile(file, JSON.stringify(body));
  const url = `${server.url}/things`;
  for (const [args, code, message] of [
    [[], 2, /^One URL must be given\./],
    [[url], 2, /^--body FILE must be given\./],
    [['--nonsense'], 2, /--nonsense/],
    [
      ['api.example.com', '--body', file],
      2,
      /^the URL must be http:\/\/ .* not 'api\.example\.com'/,
    ],
    [[url, '--body', join(folder, 'none')], 2, /^--body .*none is no JSON file: ENOENT/],
    [[url, '--body', import.meta.filename], 2, /^--body .* is no JSON file: Unexpected token/],
    [
      [url, '--body', file, '--rate', 'fast'],
      2,
      /^--rate must be a positive number, not 'fast'\.$/,
    ],
    [[url, '--body', file, '--header', 'x'], 2, /^A header is written 'Name: value', not 'x'\.$/],
    [[url, '--body', file, '--vary', '/x'], 2, /^The body has no value at '\/x'\.$/],
    [['http://127.0.0.1:1', '--body', file], 3, /^http:.* does not answer: .*ECONNREFUSED/],
    [
      [url, '--body', file, '--max-requests', '20'],
      3,
      /could not be done: stopped: the limit of 20/,
    ],
  ] as const) {
    const done = await run([...args]);
    assert.equal(done.code, code, done.output);
    assert.match(done.output.trim(), message);
  }
});

async function run(args: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const [code] = await once(child, 'close');
  return { code, output };
}
