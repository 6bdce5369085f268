import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { ready } from './ready.ts';

/** A redis-server of this test file's own, on a unix socket in a temporary folder. */
export class RedisServer {
  readonly socket: string;
  private readonly folder: string;
  private child: ChildProcess | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, 'redis.sock');
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await mkdtemp(join(tmpdir(), 'idempotency-redis-')));
    await server.run();
    return server;
  }

  /** Starts the process, again after {@link kill}; resolves when it accepts connections. */
  async run(): Promise<void> {
    const settings = [
      '--port',
      '0',
      '--unixsocket',
      this.socket,
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    const child = spawn('redis-server', [...settings, '--dir', this.folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child = child;
    await ready(child, 'ready to accept connections');
  }

  async client() {
    const client = createClient({
      socket: { path: this.socket, tls: false, reconnectStrategy: () => 20 },
    });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name);
  }

  async kill(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (!child || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export type TestRedisClient = Awaited<ReturnType<RedisServer['client']>>;
