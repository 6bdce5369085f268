import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createClient } from 'redis';
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
  private readonly children: ChildProcess[];
  private readonly folder: string;

  private constructor(folder: string, ports: number[], children: ChildProcess[]) {
    this.folder = folder;
    this.ports = ports;
    this.children = children;
  }

  static async start(): Promise<RedisCluster> {
    const folder = await mkdtemp(join(tmpdir(), 'idempotency-cluster-'));
    const ports = await freePorts(6);
    const nodes = ['0-5460', '5461-10922', '10923-16383'].map((slots, i) => ({
      id: String(i).repeat(40),
      port: ports[i] as number,
      busPort: ports[i + 3] as number,
      slots,
    }));
    const children = await Promise.all(nodes.map((node) => startNode(folder, node, nodes)));
    await Promise.all(nodes.map(untilWritable));
    return new RedisCluster(folder, ports.slice(0, 3), children);
  }

  async stop(): Promise<void> {
    for (const child of this.children) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function startNode(folder: string, self: Node, nodes: Node[]): Promise<ChildProcess> {
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
  await ready(child, 'ready to accept connections');
  return child;
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

/** Held open together, so that all differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
