import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { urlOf } from './postgresServer.ts';

/** Whether a service ever made its database in the data directory. */
export function hasCluster(dataDir: string): boolean {
  return existsSync(path.join(dataDir, 'postgres', 'data', 'PG_VERSION'));
}

/**
 * Where the embedded PostgreSQL of a data directory listens, for another process of the same user.
 *
 * PostgreSQL itself notes it in postmaster.pid (storage/pidfile.h: line 5 is the socket directory).
 * A server that was killed leaves the file behind: only connecting tells.
 * @returns undefined when it does not run
 */
export function runningPostgresUrl(dataDir: string): string | undefined {
  const file = path.join(dataDir, 'postgres', 'data', 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const socketDir = readFileSync(file, 'utf8').split('\n')[4];
  return socketDir ? urlOf(socketDir, 'onhand') : undefined;
}
