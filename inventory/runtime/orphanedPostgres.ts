import { existsSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isPostgresAlive } from './livenessPipe.ts';
import { commandLine, processIdentity } from './processes.ts';
import { StartError } from './startError.ts';

/**
 * How long a start waits for the PostgreSQL that a killed service left behind.
 *
 * It gets 10 s for an orderly end, from its guardian or from us; being cut off then takes moments.
 */
export const ORPHAN_WAIT_MS = 15_000;
const ORPHAN_PATIENCE_MS = 10_000;

/** It is nobody's child here, so its end sends us no signal. */
const POLL_MS = 50;

/** No system has such a pid: pid_max is 4,194,304 on Linux and 99,999 on macOS. */
const NO_PID = 2_147_483_647;

/**
 * Waits until no PostgreSQL runs in the database folder. Call it only while holding the claim on
 * it.
 *
 * A server of ours that is found here belongs to a service that died. Its guardian is stopping it;
 * in case that was killed as well, it is asked again, which changes nothing for one that is
 * stopping. One in another container has no pid here: it is only awaited.
 *
 * Worst case: {@link ORPHAN_WAIT_MS} for the postmaster, and as long for what it leaves behind.
 * @throws StartError when it is still there after that, and when it is not ours
 */
export async function awaitOrphan(folder: string, log: (line: string) => void): Promise<void> {
  const cluster = path.join(folder, 'data');
  const file = path.join(cluster, 'postmaster.pid');
  // Its lines: pid, data directory, start time, port, socket directory, … (storage/pidfile.h).
  const [pidLine, , , , socketDir = ''] = existsSync(file)
    ? readFileSync(file, 'utf8').split('\n')
    : [];
  const pid = Number(pidLine);
  if (runsOn(cluster, pid)) {
    requireOurs(cluster, pid);
    log(`waiting for the PostgreSQL of a service that died (pid ${pid}) to stop`);
    await end(cluster, pid);
  }
  await awaitUnseen(folder, log);
  // Not there when the server ended in order.
  if (existsSync(file)) disown(file);
  if (path.basename(socketDir).startsWith('onhand-')) {
    rmSync(socketDir, { recursive: true, force: true });
  }
}

async function awaitUnseen(folder: string, log: (line: string) => void): Promise<void> {
  if (!isPostgresAlive(folder)) return;
  log('waiting for the PostgreSQL of a service that died, perhaps in another container, to stop');
  if (await hasEnded(() => isPostgresAlive(folder), ORPHAN_WAIT_MS)) return;
  throw new StartError(
    `a PostgreSQL of a service that died, perhaps in another container, still runs in ` +
      `${folder} after ${ORPHAN_WAIT_MS / 1000} s: end it and start again`,
  );
}

/** PostgreSQL works in its data directory; where we may not see that, its command line names it. */
function runsOn(cluster: string, pid: number): boolean {
  if (processIdentity(pid) === undefined) return false;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === cluster;
  } catch {
    return commandLine(pid).includes(cluster);
  }
}

function requireOurs(cluster: string, pid: number): void {
  if (commandLine(pid).includes('cluster_name=onhand')) return;
  throw new StartError(`the database in ${cluster} is in use by another PostgreSQL (pid ${pid})`);
}

async function end(cluster: string, pid: number): Promise<void> {
  // The process is watched, not its file: a killed one leaves that behind.
  const isRunning = () => runsOn(cluster, pid);
  signal(pid, 'SIGINT');
  if (await hasEnded(isRunning, ORPHAN_PATIENCE_MS)) return;
  signal(pid, 'SIGQUIT');
  if (await hasEnded(isRunning, ORPHAN_WAIT_MS - ORPHAN_PATIENCE_MS)) return;
  throw new StartError(
    `a PostgreSQL of a service that died (pid ${pid}) still runs on ${cluster} ` +
      `after ${ORPHAN_WAIT_MS / 1000} s: end it and start again`,
  );
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended since we looked.
  }
}

async function hasEnded(isRunning: () => boolean, waitMs: number): Promise<boolean> {
  const deadline = Date.now() + waitMs;
  while (isRunning()) {
    if (Date.now() > deadline) return false;
    await setTimeout(POLL_MS);
  }
  return true;
}

/**
 * The pid of a stale file may belong to somebody else by now, or to a zombie that nobody reaps, as
 * in many containers: PostgreSQL would take either for a live server and refuse for ever. Only the
 * pid is replaced: by the rest of the file PostgreSQL finds backends that outlived their
 * postmaster.
 */
function disown(file: string): void {
  const [, ...rest] = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, [String(NO_PID), ...rest].join('\n'));
}
