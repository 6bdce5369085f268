import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createTestDatabase } from '../../fixtures/database.ts';
import { type NetworkProxy, startProxy } from '../fixtures/proxy.ts';
import { type RedisServer, startRedis, startRedisOn } from '../fixtures/redis.ts';
import { fenceTable } from '../index.ts';
import { findFaults, type Held, readHistory } from './check.ts';

/** Short, so that stops outlive it. */
const leaseMs = 300;
const workerCount = 4;
/** A fault every so often; `ONHAND_HISTORY_FAULTS=300` makes a run of minutes. */
const faultCount = Number(process.env.ONHAND_HISTORY_FAULTS ?? 16);
const workerFile = fileURLToPath(new URL('./worker.ts', import.meta.url));
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('no two leases at one time while processes and Redis fail', async (t) => {
  const { url } = await createTestDatabase(t);
  const pool = new pg.Pool({ connectionString: url });
  await pool.query(fenceTable);
  await pool.query('CREATE TABLE counter (value bigint NOT NULL)');
  await pool.query('INSERT INTO counter VALUES (0)');
  await pool.query('CREATE TABLE increment (token bigint NOT NULL)');
  const stage = await Stage.open(url);
  try {
    for (let fault = 0; fault < faultCount; fault++) {
      await stage.fault(fault);
      // Everybody gets on again before the next one strikes.
      await stage.progress();
    }
    const history = await stage.history();
    assert.ok(stage.losses.length > 0);
    assert.deepEqual(findFaults(history, stage.losses, leaseMs), []);
    assert.deepEqual(stage.crashes, [], 'no worker ended by itself');
    t.diagnostic(`${history.length} leases, ${faultCount} faults`);
  } finally {
    await stage.close();
  }
  // The stale were refused, so no increment was lost.
  const { rows } = await pool.query(
    'SELECT value::int, (SELECT count(*)::int FROM increment) AS increments FROM counter',
  );
  await pool.end();
  assert.equal(rows[0].value, rows[0].increments);
  assert.ok(rows[0].value > faultCount);
});

test('the check finds two leases at one time, and a token that does not rise', () => {
  const held = (token: bigint, from: bigint, to: bigint): Held => ({
    worker: 'w',
    token,
    from,
    to,
  });
  const overlap = [held(1n, 10n, 30n), held(2n, 20n, 40n)];
  assert.equal(findFaults(overlap, [], 0).length, 1);
  assert.equal(findFaults(overlap, [15n], 0).length, 0, 'Redis lost the first');
  assert.equal(findFaults(overlap, [25n], 0).length, 1, 'a loss after the second excuses nothing');
  assert.equal(findFaults([held(2n, 10n, 15n), held(1n, 20n, 30n)], [], 0).length, 1);
});

/** The processes of one run. */
class Stage {
  readonly losses: bigint[] = [];
  readonly crashes: string[] = [];
  readonly #workers: { process: ChildProcess; file: string }[] = [];
  readonly #folder: string;
  readonly #url: string;
  readonly #proxies: NetworkProxy[];
  #redis: RedisServer;
  #started = 0;
  #closing = false;

  constructor(folder: string, url: string, redis: RedisServer, proxies: NetworkProxy[]) {
    this.#folder = folder;
    this.#url = url;
    this.#redis = redis;
    this.#proxies = proxies;
  }

  static async open(url: string): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'onhand-history-'));
    const redis = await startRedis();
    const proxies: NetworkProxy[] = [];
    for (let i = 0; i < workerCount; i++) proxies.push(await startProxy(redis.port));
    const stage = new Stage(folder, url, redis, proxies);
    for (let i = 0; i < workerCount; i++) stage.#start(i);
    await stage.progress();
    return stage;
  }

  /**
   * One of five faults, in turn, to one of the workers or to Redis. Those that hold somebody up
   * sleep past the lease: it must be over before they go on.
   */
  async fault(number: number): Promise<void> {
    const index = number % workerCount;
    const worker = this.#workers[index];
    const proxy = this.#proxies[index];
    assert.ok(worker && proxy);
    const kind = Math.floor(number / 2) % 5;
    if (kind === 0) {
      worker.process.kill('SIGKILL');
      await once(worker.process, 'exit');
      this.#start(index);
    } else if (kind === 1) {
      worker.process.kill('SIGSTOP');
      await sleep(leaseMs * 1.5);
      worker.process.kill('SIGCONT');
    } else if (kind === 2) {
      this.#redis.process.kill('SIGSTOP');
      await sleep(leaseMs * 1.5);
      this.#redis.process.kill('SIGCONT');
    } else if (kind === 3) {
      proxy.partition(true);
      await sleep(leaseMs * 1.5);
      proxy.partition(false);
      // The bytes that were dropped have left both ends out of step.
      proxy.cut();
    } else {
      this.losses.push(process.hrtime.bigint());
      await this.#redis.stop();
      this.#redis = await startRedisOn(this.#redis.port);
    }
  }

  /** Waits until every worker has held the lock anew. */
  async progress(): Promise<void> {
    const sizes = () => Promise.all(this.#workers.map(({ file }) => sizeOf(file)));
    const before = await sizes();
    const patience = performance.now() + 15_000;
    for (;;) {
      const now = await sizes();
      if (now.every((size, at) => size > (before[at] ?? 0))) return;
      assert.ok(performance.now() < patience, `no progress within 15 s: ${before} → ${now}`);
      await sleep(10);
    }
  }

  async history(): Promise<Held[]> {
    const names = await readdir(this.#folder);
    const parts = names.map(async (name) =>
      readHistory(name, await readFile(join(this.#folder, name), 'utf8')),
    );
    return (await Promise.all(parts)).flat();
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const { process: child } of this.#workers) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    await this.#redis.stop();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
    await rm(this.#folder, { recursive: true, force: true });
  }

  #start(index: number): void {
    const file = join(this.#folder, `${index}-${++this.#started}`);
    const settings = [`${this.#proxies[index]?.port}`, file, this.#url, `${leaseMs}`];
    const child = spawn(process.execPath, [workerFile, ...settings], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
    });
    child.on('exit', (code) => {
      if (code !== null && !this.#closing) this.crashes.push(`exit code ${code}: ${said}`);
    });
    this.#workers[index] = { process: child, file };
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await readFile(file, 'utf8').catch(() => '')).length;
}
