import { createClient } from 'redis';
import { startTestRedis, type TestRedis } from '../../fixtures/redis.ts';

/** A Redis of this test file's own, which ends with its process whatever happens to that. */
export class RedisServer {
  private readonly redis: TestRedis;
  private readonly releases: (() => void | Promise<void>)[];

  private constructor(redis: TestRedis, releases: (() => void | Promise<void>)[]) {
    this.redis = redis;
    this.releases = releases;
  }

  static async start(): Promise<RedisServer> {
    const releases: (() => void | Promise<void>)[] = [];
    const redis = await startTestRedis({ after: (release) => releases.push(release) });
    return new RedisServer(redis, releases);
  }

  /** The path of its unix socket. */
  get socket(): string {
    return this.redis.socketPath;
  }

  /** Starts it again, empty, after {@link kill}. */
  run(): Promise<void> {
    return this.redis.restart();
  }

  kill(): Promise<void> {
    return this.redis.kill();
  }

  async stop(): Promise<void> {
    for (const release of this.releases) await release();
  }

  async client() {
    const client = createClient({
      socket: { path: this.socket, tls: false, reconnectStrategy: () => 20 },
    });
    client.on('error', () => {});
    await client.connect();
    return client;
  }
}

export type TestRedisClient = Awaited<ReturnType<RedisServer['client']>>;
