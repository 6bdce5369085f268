import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createClient } from 'redis';
import { onFreePorts } from '../../fixtures/ports.ts';
import { ready } from './ready.ts';

interface Node {
  id: string;
  port: number;
  busPort: number;
  slots: string;
}

/**
 * Three masters without replicas, which share the hash slots.
 *
 * They start with a finished nodes file: forming a cluster by gossip takes some eight seconds.
 */
export class RedisCluster {
  readonly ports: number[];
  private readonly started: AsyncDisposableStack;

  private constructor(ports: number[], started: AsyncDisposableStack) {
    this.ports = ports;
    this.started = started;
  }

  static start(): Promise<RedisCluster> {
    return onFreePorts(6, (...ports) => RedisCluster.startOn(ports));
  }

  private static async startOn(ports: number[]): Promise<RedisCluster> {
    await using started = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'idempotency-cluster-'));
    started.defer(() => rm(folder, { recursive: true, force: true }));
    const nodes = ['0-5460', '5461-10922', '10923-16383'].map((slots, i) => ({
      id: String(i).repeat(40),
      port: ports[i] as number,
      busPort: ports[i + 3] as number,
      slots,
    }));
    // One by one: none may still start while the others are stopped because one failed.
    for (const node of nodes) await startNode(folder, node, nodes, started);
    await Promise.all(nodes.map(untilWritable));
    return new RedisCluster(ports.slice(0, 3), started.move());
  }

  async stop(): Promise<void> {
    await this.started.disposeAsync();
  }
}

async function startNode(
  folder: string,
  self: Node,
  nodes: Node[],
  started: AsyncDisposableStack,
): Promise<void> {
  const lines = nodes.map((node, i) => {
    const role = node === self ? 'myself,master' : 'master';
    const address = `127.0.0.1:${node.port}@${node.busPort}`;
    return `${node.id} ${address} ${role} - 0 0 ${i + 1} connected ${node.slots}\n`;
  });
  const file = join(folder, `${self.port}.conf`);
  await writeFile(file, `${lines.join('')}vars currentEpoch 3 lastVoteEpoch 0\n`);
  const network = `--port ${self.port} --cluster-port ${self.busPort} --bind 127.0.0.1`;
  const cluster = `--cluster-enabled yes --cluster-config-file ${self.port}.conf`;
  const settings = `${network} ${cluster} --appendonly no --dir ${folder}`.split(' ');
  const child = spawn('redis-server', [...settings, '--save', '']);
  started.defer(async () => {
    const gone = once(child, 'exit');
    if (child.kill('SIGKILL')) await gone;
  });
  await ready(child, 'ready to accept connections');
}

/** A master refuses writes for its first two seconds. */
async function untilWritable(node: Node): Promise<void> {
  const client = createClient({ socket: { host: '127.0.0.1', port: node.port } });
  await client.connect();
  for (;;) {
    const info = String(await client.sendCommand(['CLUSTER', 'INFO']));
    if (info.includes('cluster_state:ok')) break;
    await setTimeout(50);
  }
  client.destroy();
}
