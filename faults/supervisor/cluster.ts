import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Link } from '../network/link.ts';
import { makePlace, mountSmallDisk } from './place.ts';
import type { PostgresServer } from './postgres.ts';
import { RedisServer } from './redis.ts';
import { PostgresPair } from './replication.ts';
import { ServiceInstance } from './service.ts';
import { makeTree, type Patch } from './tree.ts';
import { Undertaker } from './undertaker.ts';

export interface ClusterOptions {
  readonly services: number;
  readonly standby: boolean;
  /** What is changed in the copy of the tree that the services run from. */
  readonly patches: readonly Patch[];
  readonly tenants: readonly string[];
}

interface Parts {
  readonly undertaker: Undertaker;
  readonly postgres: PostgresPair;
  readonly redis: RedisServer;
  readonly services: readonly ServiceInstance[];
  /** Why the disk of PostgreSQL cannot be filled; undefined: it can. */
  readonly diskReason: string | undefined;
  /** API keys by tenant. */
  readonly tenants: ReadonlyMap<string, string>;
}

/** Everything real that a run is about, each connection on a link of ours. */
export class Cluster implements Omit<Parts, 'undertaker'> {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const undertaker = new Undertaker();
    try {
      return new Cluster(await startAll(options, undertaker));
    } catch (error) {
      await undertaker.bury();
      throw error;
    }
  }

  get postgres(): PostgresPair {
    return this.#parts.postgres;
  }

  get redis(): RedisServer {
    return this.#parts.redis;
  }

  get services(): readonly ServiceInstance[] {
    return this.#parts.services;
  }

  get diskReason(): string | undefined {
    return this.#parts.diskReason;
  }

  get tenants(): ReadonlyMap<string, string> {
    return this.#parts.tenants;
  }

  get links(): readonly Link[] {
    return [this.postgres.link, ...this.services.flatMap(({ links }) => links)];
  }

  /** After the primary changed: the services' way to it. */
  aimAtPrimary(): void {
    for (const { postgres } of this.services) {
      postgres.aim(this.postgres.primary.target);
      postgres.cut();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.services.map((service) => service.kill()));
    await this.postgres.settled().catch(() => {});
    for (const server of this.postgres.servers) await server.kill();
    await this.redis.kill(true);
    await Promise.all(this.links.map((link) => link.close()));
    await this.#parts.undertaker.bury();
  }
}

async function startAll(options: ClusterOptions, undertaker: Undertaker): Promise<Parts> {
  const place = await makePlace(undertaker);
  const tree = makeTree(path.join(place.folder, 'tree'), options.patches);
  let diskReason: string | undefined;
  const prepare = (server: PostgresServer) => {
    diskReason ??= mountSmallDisk(server.disk, place, undertaker);
  };
  const redis = new RedisServer(place, undertaker);
  const [postgres] = await Promise.all([
    PostgresPair.start(place, undertaker, { standby: options.standby, prepare }),
    redis.start(),
  ]);
  const services = await startServices(options, tree, { undertaker, postgres, redis });
  const tenants = await addTenants(postgres, options.tenants);
  return { undertaker, postgres, redis, services, diskReason, tenants };
}

async function startServices(
  { services: count }: ClusterOptions,
  tree: string,
  { undertaker, postgres, redis }: Pick<Parts, 'undertaker' | 'postgres' | 'redis'>,
): Promise<ServiceInstance[]> {
  const adopt = (child: ChildProcess) => undertaker.process(child);
  const services = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      ServiceInstance.create(index, { tree, apiKey: apiKeyOf('demo'), adopt }),
    ),
  );
  // One after the other: the first one migrates.
  for (const service of services) {
    service.postgres.aim(postgres.primary.target);
    service.redis.aim(redis.target);
    service.start();
    await Promise.race([service.ready, tooLate(service)]);
  }
  return services;
}

const startWaitMs = 60_000;

async function tooLate(service: ServiceInstance): Promise<never> {
  await delay(startWaitMs, undefined, { ref: false });
  throw new Error(`service ${service.index} does not start:\n${service.output}`);
}

/** An API key of the role `admin` for each tenant: verifying the ledger needs it. */
async function addTenants(
  postgres: PostgresPair,
  tenants: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  await postgres.primary.session(async (client) => {
    for (const tenant of tenants) {
      const secret = createHash('sha256').update(apiKeyOf(tenant)).digest();
      await client.query('INSERT INTO tenants (tenant_id) VALUES ($1)', [tenant]);
      await client.query(
        `INSERT INTO api_keys (tenant_id, role, name, secret_sha256)
         VALUES ($1, 'admin', 'faults', $2)`,
        [tenant, secret],
      );
    }
  }, 'onhand');
  return new Map(tenants.map((tenant) => [tenant, apiKeyOf(tenant)]));
}

/** Known beforehand: nobody outside can reach a run's servers. */
function apiKeyOf(tenant: string): string {
  return `faults-${tenant}-0123456789abcdef`;
}
