import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { RedisServer } from '../../rig.ts';
import { type Server, startServer } from '../server.ts';

const version = '2.21.2';
const packages = ['framework', 'inventory', 'locking', 'locking-redis', 'link-modules'];

/** Four hundred packages; on a slow line it takes minutes. */
const installMsMax = 300_000;

/** Starts the server of server.ts on an empty database. */
export async function startMedusa(databaseUrl: string, redis: RedisServer): Promise<Server> {
  const folder = await installMedusa();
  return startServer(path.join(import.meta.dirname, 'server.ts'), {
    PATH: process.env.PATH ?? '',
    HOME: os.homedir(),
    MEDUSA_DISABLE_TELEMETRY: '1',
    MEDUSA_FOLDER: folder,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url.replace('unix://', ''),
  });
}

/**
 * Installs Medusa outside of the project, where later runs find it again.
 * @throws when npm does
 */
async function installMedusa(): Promise<string> {
  const folder = path.join(os.tmpdir(), `onhand-bench-medusa-${version}`);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft);
  try {
    writeFileSync(path.join(draft, 'package.json'), '{"private":true}\n');
    const names = packages.map((name) => `@medusajs/${name}@${version}`);
    const options = ['--no-audit', '--no-fund', '--ignore-scripts'];
    await promisify(execFile)('npm', ['install', ...options, ...names], {
      cwd: draft,
      timeout: installMsMax,
    });
    renameSync(draft, folder);
    return folder;
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
}
