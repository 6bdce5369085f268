import { spawnSync } from 'node:child_process';
import { closeSync, constants, lstatSync, openSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { PostgresHome } from './postgresHome.ts';
import { StartError } from './startError.ts';

/**
 * A named pipe in the database folder that tells whether any process of its PostgreSQL is alive.
 *
 * Each has its read end open, inherited from the start of the server, and the kernel closes it with
 * the last of them. So it tells also of a server in another container, whose pids are not seen from
 * here, and of backends that outlived their postmaster.
 */
const NAME = 'postgres.alive';

/** Readers of another system, through a network file system, are not seen. */
export function isPostgresAlive(folder: string): boolean {
  const file = path.join(folder, NAME);
  // No pipe yet, or what a backup has made of it: nobody has that open.
  if (!isPipe(file)) return false;
  try {
    closeSync(openSync(file, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // No reader, or removed in between.
    if (['ENXIO', 'ENOENT'].includes(code)) return false;
    throw error;
  }
}

/**
 * Opens the read end, for PostgreSQL to inherit; makes the pipe when there is none.
 * @throws StartError when the file system has no pipes: a server would run unseen
 */
export function openLivenessPipe({
  folder,
  account,
}: Pick<PostgresHome, 'folder' | 'account'>): number {
  const file = path.join(folder, NAME);
  if (!isPipe(file)) {
    rmSync(file, { force: true });
    makePipe(file, account);
  }
  return openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
}

function isPipe(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.isFIFO() === true;
}

function makePipe(file: string, account: PostgresHome['account']): void {
  const made = spawnSync('mkfifo', ['-m', '600', file], { ...account, cwd: '/' });
  if (made.status === 0) return;
  const reason = made.error?.message ?? made.stderr.toString();
  throw new StartError(`cannot make the named pipe ${file}: ${reason}`);
}
