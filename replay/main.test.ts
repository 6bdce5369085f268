import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import {
  createTestDatabase,
  makeTestFolder,
  startService,
  type TestService,
  waitFor,
} from '../fixtures/index.ts';
import { ordersCsv, runReplayCommand, writeOrders } from './testOrders.ts';

/** Runs of different names share nothing, so that tests can share a service. */
let runs = 0;

function against({ url, apiKey }: { url: string; apiKey: string }, file: string): string[] {
  runs += 1;
  return ['--orders', file, '--run', `t${runs}`, '--url', url, '--api-key', apiKey];
}

async function read<T>({ url, apiKey }: TestService, route: string): Promise<T> {
  const headers = { authorization: `Bearer ${apiKey}` };
  return (await (await fetch(url + route, { headers })).json()) as T;
}

async function movementsOf(service: TestService): Promise<number> {
  const { movements } = await read<{ movements: number }>(service, '/v1/verify');
  return movements;
}

/** The value of a row of the closing table. */
function row(output: string, name: string): string | undefined {
  return new RegExp(`^  ${name} {2,}(.*)$`, 'm').exec(output)?.[1];
}

describe('npm run replay against a running service', () => {
  let service: TestService;
  const releases: (() => void | Promise<void>)[] = [];
  before(async () => {
    // In a hook, node:test's own after() would belong to the first test.
    const suite = {
      after: (release: () => void | Promise<void>) => void releases.unshift(release),
    };
    const database = await createTestDatabase(suite);
    service = await startService(suite, { env: { DATABASE_URL: database.url } });
  });
  after(async () => {
    for (const release of releases) await release();
  });

  test('replays every invoice, repeats some, and proves the stock', async (t) => {
    const file = writeOrders(t, ordersCsv(300));
    const run = runReplayCommand(t, [...against(service, file), '--duplicates', '0.5']);
    assert.equal(await run.ended, 0, run.output());

    const output = run.output();
    assert.equal(row(output, 'accepted'), '300');
    assert.equal(row(output, 'refusals'), 'none');
    const repeats = Number(row(output, 'repeats'));
    assert.ok(repeats > 100 && repeats < 200, `${repeats} repeats`);
    assert.equal(Number(row(output, 'requests')), 300 + repeats);
    assert.match(output, /ok +GET \/v1\/verify: every level is the sum of its movements \(\d/);
    assert.match(output, /ok +GET \/v1\/stock: all 7 products are at the sum over the file/);
    assert.ok(!output.includes('FAILED'), output);
    const products = await read<{ items: { product: string }[] }>(service, '/v1/products');
    assert.ok(products.items.some(({ product }) => product === 'BANK:20CHARGES'));
  });

  test('posts nothing a second time when it runs again', async (t) => {
    const args = against(service, writeOrders(t, ordersCsv(100)));
    await runReplayCommand(t, args).ended;
    const before = await movementsOf(service);

    const again = runReplayCommand(t, [...args, '--duplicates', '0']);
    assert.equal(await again.ended, 0, again.output());
    assert.equal(row(again.output(), 'replays'), '100 answers with Idempotent-Replayed');
    assert.equal(await movementsOf(service), before);
  });

  test('counts refusals by code, and leaves what was refused out of the sum', async (t) => {
    const file = writeOrders(t, ordersCsv(200));
    const run = runReplayCommand(t, [...against(service, file), '--opening', '0.3']);
    assert.equal(await run.ended, 0, run.output());
    const refused = Number(
      /^insufficient-stock (\d+)$/.exec(row(run.output(), 'refusals') ?? '')?.[1],
    );
    assert.ok(refused > 0, run.output());
    assert.equal(Number(row(run.output(), 'accepted')), 200 - refused);
  });

  test('fails when a level is not what the file adds up to', async (t) => {
    const args = against(service, writeOrders(t, ordersCsv(50)));
    assert.equal(await runReplayCommand(t, args).ended, 0);
    const headers = {
      authorization: `Bearer ${service.apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': 'stray',
    };
    const lines = [{ product: '21730', quantity: 1 }];
    const body = JSON.stringify({ warehouse: `REPLAY-t${runs}`, lines });
    await fetch(`${service.url}/v1/receipts`, { method: 'POST', headers, body });

    const run = runReplayCommand(t, args);
    assert.equal(await run.ended, 1, run.output());
    assert.match(run.output(), /FAILED +GET \/v1\/stock: 1 of 7 products differ .*: 21730 \d+ for/);
  });

  for (const { name, change, says } of [
    { name: 'other bytes', change: (body: string) => `${body} `, says: /differs from the first/ },
    { name: 'no mark', change: undefined, says: /lacks Idempotent-Replayed/ },
  ]) {
    test(`fails when repeats are answered with ${name}`, async (t) => {
      const proxy = await startProxy(t, service, change);
      const file = writeOrders(t, ordersCsv(30));
      const args = against({ url: proxy, apiKey: service.apiKey }, file);
      const run = runReplayCommand(t, [...args, '--duplicates', '1']);
      assert.equal(await run.ended, 1, run.output());
      assert.match(run.output(), says);
    });
  }

  test('goes on after a stop, and posts every invoice once', async (t) => {
    const args = against(service, writeOrders(t, ordersCsv(300)));
    const before = await movementsOf(service);
    const run = runReplayCommand(t, [...args, '--rate', '100']);
    await waitFor('some invoices', async () => (await movementsOf(service)) > before + 50);
    run.signal('SIGTERM');
    assert.equal(await run.ended, 1, run.output());
    assert.match(run.output(), /\d+ invoices were decided, \d+ of them posted, and stay so/);

    const again = runReplayCommand(t, args);
    assert.equal(await again.ended, 0, again.output());
    assert.equal(row(again.output(), 'accepted'), '300');
  });

  test('outlives a kill of the service, with every invoice posted once', async (t) => {
    const database = await createTestDatabase(t);
    const first = await startService(t, { env: { DATABASE_URL: database.url } });
    const file = writeOrders(t, ordersCsv(400));
    const run = runReplayCommand(t, [...against(first, file), '--rate', '200']);
    await waitFor('some invoices', async () => (await movementsOf(first)) > 50);
    await first.kill();
    const env = {
      DATABASE_URL: database.url,
      PORT: new URL(first.url).port,
      ONHAND_API_KEY: first.apiKey,
      ONHAND_CLAIM_LEASE_MS: '1000',
    };
    await startService(t, { env });

    assert.equal(await run.ended, 0, run.output());
    assert.match(row(run.output(), 'retries') ?? '', /connection \d/);
    assert.equal(row(run.output(), 'accepted'), '400');
  });
});

/**
 * A proxy that spoils replays: it changes their bodies, or else hides their mark.
 */
async function startProxy(
  t: TestContext,
  { url }: TestService,
  change: ((body: string) => string) | undefined,
): Promise<string> {
  const server = http.createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { host: _, ...headers } = request.headers as Record<string, string>;
    const { method = 'GET' } = request;
    const reply = await fetch(url + request.url, {
      method,
      headers,
      ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
    });
    const isReplay = reply.headers.get('idempotent-replayed') === 'true';
    const body = await reply.text();
    for (const name of ['content-type', 'location', 'retry-after']) {
      const value = reply.headers.get(name);
      if (value !== null) response.setHeader(name, value);
    }
    if (isReplay && change) response.setHeader('idempotent-replayed', 'true');
    response.writeHead(reply.status).end(isReplay && change ? change(body) : body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Kills the process whose pid is the first number in a file. */
function killNotedIn(file: string): void {
  process.kill(Number(/\d+/.exec(readFileSync(file, 'utf8'))?.[0]), 'SIGKILL');
}

describe('npm run replay with a service of its own', () => {
  test('proves the number of movements and the memory, and leaves nothing behind', async (t) => {
    const TMPDIR = makeTestFolder(t);
    const file = writeOrders(t, ordersCsv(100));
    const run = runReplayCommand(t, ['--orders', file], { TMPDIR });
    assert.equal(await run.ended, 0, run.output());
    assert.match(run.output(), /ok +the ledger has (\S+) movements, the answers tell of \1\n/);
    assert.match(run.output(), /ok +the service's memory peaked at \d+ MiB, of 400 MiB/);
    assert.deepEqual(readdirSync(TMPDIR), []);
  });

  test('takes the service along when it is killed, and keeps the data', async (t) => {
    const TMPDIR = makeTestFolder(t);
    const file = writeOrders(t, ordersCsv(300));
    const run = runReplayCommand(t, ['--orders', file, '--rate', '20'], { TMPDIR });
    await waitFor('the first invoices', () => run.output().includes('0 of 300 invoices'), 30_000);
    const dataDir = /data in (\S+)/.exec(run.output())?.[1] ?? '';
    run.signal('SIGKILL');
    await run.ended;
    const isHeld = () => existsSync(path.join(dataDir, 'postgres', 'service.pid'));
    await waitFor('the end of the service', () => !isHeld());
    assert.ok(existsSync(path.join(dataDir, 'postgres')));
  });

  for (const { name, kill, says } of [
    {
      name: 'its service was killed',
      kill: (dataDir: string) => killNotedIn(path.join(dataDir, 'postgres', 'service.pid')),
      says: /^replay: the service ended with signal SIGKILL$/m,
    },
    {
      name: 'the database of its service was killed',
      kill: (dataDir: string) => killNotedIn(path.join(dataDir, 'postgres/data/postmaster.pid')),
      says: /^replay: the service ended with code 1: onhand: PostgreSQL ended by itself .*log$/m,
    },
  ]) {
    test(`says that ${name}, and shows no key`, async (t) => {
      const TMPDIR = makeTestFolder(t);
      const file = writeOrders(t, ordersCsv(300));
      const run = runReplayCommand(t, ['--orders', file, '--rate', '20'], { TMPDIR });
      await waitFor('the first invoices', () => run.output().includes('0 of 300 invoices'), 30_000);
      kill(/data in (\S+)/.exec(run.output())?.[1] ?? '');
      assert.equal(await run.ended, 1, run.output());
      assert.match(run.output(), says);
      assert.doesNotMatch(run.output(), /curl|API key/);
    });
  }

  test('starts nothing for a malformed file, and names its line', async (t) => {
    const TMPDIR = makeTestFolder(t);
    const content = `${ordersCsv(20)}C1,2010-12-01T08:26:00Z,many,A\n`;
    const run = runReplayCommand(t, ['--orders', writeOrders(t, content)], { TMPDIR });
    assert.equal(await run.ended, 1);
    const says = /^replay: .*orders\.csv, line 22: units must be .* "many"; nothing was posted\n$/;
    assert.match(run.output(), says);
    assert.deepEqual(readdirSync(TMPDIR), []);
  });

  test('says why its service does not start, and leaves nothing behind', async (t) => {
    const env = { TMPDIR: makeTestFolder(t), ONHAND_QUEUE_WAIT_MS: 'soon' };
    const run = runReplayCommand(t, ['--orders', writeOrders(t, ordersCsv(20))], env);
    assert.equal(await run.ended, 1);
    assert.match(run.output(), /ONHAND_QUEUE_WAIT_MS must .*"soon"/);
    assert.deepEqual(readdirSync(env.TMPDIR), []);
  });

  test('a wrong command line ends with 2 and the usage', async (t) => {
    const run = runReplayCommand(t, ['--rate', '5']);
    assert.equal(await run.ended, 2);
    assert.match(run.output(), /--orders FILE is needed\n\nnpm run replay/);
  });
});
