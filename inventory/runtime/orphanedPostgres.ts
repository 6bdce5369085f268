import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { commandLine } from './processes.ts';
import { StartError } from './startError.ts';

/**
 * How long a start waits for the PostgreSQL that a killed service left behind.
 *
 * The guardian gives it 10 s for an orderly end; what comes after that takes a moment.
 */
export const ORPHAN_WAIT_MS = 15_000;

/** It is nobody's child here, so its end sends us no signal. */
const POLL_MS = 50;

/** No system has such a pid: pid_max is 4,194,304 on Linux and 99,999 on macOS. */
const NO_PID = 2_147_483_647;

/**
 * Waits until no PostgreSQL runs on the cluster. Call it only while holding the data directory.
 *
 * A server found here belongs to a service that died. Its guardian is stopping it; in case the
 * guardian was killed as well, it is asked again, which changes nothing for one that is stopping.
 * @throws StartError when it is still there after {@link ORPHAN_WAIT_MS}
 */
export async function awaitOrphan(cluster: string, log: (line: string) => void): Promise<void> {
  const file = path.join(cluster, 'postmaster.pid');
  const [pidLine, , , , socketDir] = readLines(file);
  const pid = Number(pidLine);
  if (!pidLine || !pid) return;
  if (isPostmaster(pid, cluster)) {
    log(`waiting for the PostgreSQL of a service that died (pid ${pid}) to stop`);
    stopOrphan(pid);
    await gone(pid, cluster);
  }
  neutralise(file, pid, cluster);
  if (socketDir && path.basename(socketDir).startsWith('onhand-')) {
    rmSync(socketDir, { recursive: true, force: true });
  }
}

function readLines(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}

function isPostmaster(pid: number, cluster: string): boolean {
  return commandLine(pid).includes(` -D ${cluster} `);
}

function stopOrphan(pid: number): void {
  try {
    process.kill(pid, 'SIGINT');
  } catch {
    // It ended since we looked.
  }
}

/** The process is watched, not its file: a killed one leaves that behind. */
async function gone(pid: number, cluster: string): Promise<void> {
  const deadline = Date.now() + ORPHAN_WAIT_MS;
  while (isPostmaster(pid, cluster)) {
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) {
      throw new StartError(
        `a PostgreSQL of a service that died (pid ${pid}) still runs on ${cluster} ` +
          `after ${ORPHAN_WAIT_MS / 1000} s: end it and start again`,
      );
    }
    await setTimeout(Math.min(leftMs, POLL_MS));
  }
}

/**
 * A stale file whose pid now belongs to somebody else would make PostgreSQL refuse for ever. Only
 * the pid is replaced: the rest of the file lets PostgreSQL see backends that outlived theirs.
 */
function neutralise(file: string, pid: number, cluster: string): void {
  const [found, ...rest] = readLines(file);
  if (found === undefined || Number(found) !== pid || isPostmaster(pid, cluster)) return;
  writeFileSync(file, [String(NO_PID), ...rest].join('\n'));
}
