import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import Fastify from 'fastify';
import type { Rig } from '../rig.ts';
import { spreadOf } from './statistics.ts';

/** Where a run took place. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly fastify: string;
  readonly postgres: string;
  /** The settings of PostgreSQL on which durability and speed rest. */
  readonly postgresSettings: Record<string, string>;
  /** Milliseconds to write 8 KiB durably where the databases are: median of 100. */
  readonly syncMs: number;
  /** Load average over a minute before the run. */
  readonly loadBefore: number;
}

const settings = [
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_compression',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
];

export async function describeMachine(rig: Rig): Promise<Machine> {
  const [server] = await rig.query<{ version: string }>('SHOW server_version');
  const shown = await rig.query<{ name: string; value: string }>(
    `SELECT name, current_setting(name) AS value
     FROM unnest(ARRAY['${settings.join("','")}']) AS name`,
  );
  const cpus = os.cpus();
  return {
    processor: cpus[0]?.model.trim() || os.arch(),
    cores: cpus.length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    fastify: Fastify().version,
    postgres: Object.values(server ?? {})[0] ?? 'unknown',
    postgresSettings: Object.fromEntries(shown.map(({ name, value }) => [name, value])),
    syncMs: measureSync(rig.folder),
    loadBefore: os.loadavg()[0] ?? 0,
  };
}

function measureSync(folder: string): number {
  const file = path.join(folder, 'sync');
  const page = Buffer.alloc(8_192, 1);
  const fd = openSync(file, 'w');
  try {
    const times = Array.from({ length: 100 }, () => {
      const began = performance.now();
      writeSync(fd, page, 0, page.length, 0);
      fdatasyncSync(fd);
      return performance.now() - began;
    });
    return spreadOf(times).median;
  } finally {
    closeSync(fd);
    rmSync(file);
  }
}
