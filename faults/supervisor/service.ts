import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startOptions } from '../../fixtures/startOptions.ts';
import { Link } from '../network/link.ts';

/** Short, so that a pause of seconds is past every lease. */
const tightSettings = {
  ONHAND_CLAIM_LEASE_MS: '1500',
  ONHAND_LOCK_LEASE_MS: '1500',
  ONHAND_LOCK_WAIT_MS: '700',
  ONHAND_IDEMPOTENCY_WAIT_MS: '500',
  ONHAND_QUEUE_WAIT_MS: '3000',
  ONHAND_DATABASE_CONNECTIONS: '6',
  LOG_LEVEL: 'error',
};

/** Pause before a process that ended by itself is started again. */
const restartMs = 200;

/** Last part of what a process wrote that is kept. */
const outputMax = 16_384;

export interface ServiceOptions {
  /** Root of the tree whose inventory/main.ts is run. */
  readonly tree: string;
  readonly apiKey: string;
  readonly adopt: (child: ChildProcess) => void;
}

/** One instance of the service, with links of its own to its callers, PostgreSQL and Redis. */
export class ServiceInstance {
  readonly front: Link;
  readonly postgres: Link;
  readonly redis: Link;
  readonly index: number;
  /** Ends that nobody asked for, after the service had been ready. */
  readonly crashes: string[] = [];
  readonly #options: ServiceOptions;
  #child: ChildProcess | undefined;
  #isReady = false;
  #isWanted = false;
  #isKilled = false;
  #output = '';
  #ready = Promise.withResolvers<void>();

  private constructor(index: number, links: [Link, Link, Link], options: ServiceOptions) {
    this.index = index;
    [this.front, this.postgres, this.redis] = links;
    this.#options = options;
  }

  static async create(index: number, options: ServiceOptions): Promise<ServiceInstance> {
    const links = await Promise.all([
      Link.listen(`clients → service ${index}`),
      Link.listen(`service ${index} → postgres`),
      Link.listen(`service ${index} → redis`),
    ]);
    return new ServiceInstance(index, links, options);
  }

  get links(): readonly Link[] {
    return [this.front, this.postgres, this.redis];
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** It listens. */
  get isReady(): boolean {
    return this.#isReady;
  }

  get output(): string {
    return this.#output;
  }

  /** Starts it and keeps it running; resolves at once, `ready` when it listens. */
  start(): void {
    this.#isWanted = true;
    if (this.#child === undefined) this.#spawn();
  }

  /** SIGKILL; stays down until `start`. */
  async kill(): Promise<void> {
    this.#isWanted = false;
    const child = this.#child;
    if (child === undefined) return;
    this.#isKilled = true;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** @param shiftMs from the real time; a process started later has the real time again */
  setClock(shiftMs: number): void {
    this.#child?.stdin?.write(`${shiftMs}\n`);
  }

  #spawn(): void {
    const preload = path.join(import.meta.dirname, 'preload.ts');
    const main = path.join(this.#options.tree, 'inventory', 'main.ts');
    const child = spawn(process.execPath, [...startOptions(), '--import', preload, main], {
      cwd: this.#options.tree,
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        ...tightSettings,
        PORT: '0',
        DATABASE_URL: `postgres://onhand@127.0.0.1:${this.postgres.port}/onhand?sslmode=disable`,
        REDIS_URL: `redis://127.0.0.1:${this.redis.port}`,
        ONHAND_API_KEY: this.#options.apiKey,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#options.adopt(child);
    this.#child = child;
    this.#isKilled = false;
    child.stdin.on('error', () => {});
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => this.#read(child, text));
    }
    child.once('exit', (code, signal) => void this.#ended(child, signal ?? String(code)));
  }

  #read(child: ChildProcess, text: string): void {
    this.#output = (this.#output + text).slice(-outputMax);
    const port = /listening on http:\/\/[^\s:]+:(\d+)\s/.exec(text)?.[1];
    if (port === undefined || this.#child !== child) return;
    this.front.aim({ port: Number(port) });
    this.#isReady = true;
    this.#ready.resolve();
  }

  /** A start while the database is away fails, as it should; whoever runs a service tries again. */
  async #ended(child: ChildProcess, how: string): Promise<void> {
    if (this.#child !== child) return;
    if (this.#isReady && !this.#isKilled)
      this.crashes.push(`${how}: ${this.#output.slice(-2_000)}`);
    this.#child = undefined;
    this.front.aim(undefined);
    if (this.#isReady) this.#ready = Promise.withResolvers<void>();
    this.#isReady = false;
    if (!this.#isKilled) await delay(restartMs);
    if (this.#isWanted && this.#child === undefined) this.#spawn();
  }
}
