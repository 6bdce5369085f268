import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { createFile } from './createFile.ts';
import { processIdentity } from './processes.ts';
import { StartError } from './startError.ts';

/** Who holds the data directory. The identity tells the holder from a later owner of its pid. */
interface Holder {
  pid: number;
  identity: string;
}

/** Takeovers of a stale file that lose to another starter before we give up. */
const ATTEMPTS_MAX = 5;

/**
 * Claims the data directory for this process with `service.pid`, so that a second service fails
 * with a clear line at once. It is a courtesy: PostgreSQL's own lock is what keeps two servers apart.
 *
 * A file whose holder no longer runs is moved aside and looked at again before it is thrown away:
 * of two services that find it stale at the same instant, one claims and the other is refused.
 * @returns the function that gives the claim up
 * @throws StartError naming the directory and the pid of the live holder
 */
export function claimDataDir(dataDir: string): () => void {
  const file = path.join(dataDir, 'service.pid');
  const own = JSON.stringify({ pid: process.pid, identity: processIdentity(process.pid) ?? '' });
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    if (createFile(file, own)) return () => release(file, own);
    const found = read(file);
    refuseWhenLive(dataDir, found);
    if (found !== undefined) discard(file, found);
  }
  throw new StartError(`the data directory ${dataDir} is being claimed by another service`);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function refuseWhenLive(dataDir: string, found: string | undefined): void {
  const holder = parse(found);
  if (holder === undefined || processIdentity(holder.pid) !== holder.identity) return;
  throw new StartError(
    `the data directory ${dataDir} is in use by the service with pid ${holder.pid}`,
  );
}

function parse(found: string | undefined): Holder | undefined {
  try {
    const { pid, identity } = JSON.parse(found ?? '') as Partial<Holder>;
    return pid && identity ? { pid, identity } : undefined;
  } catch {
    return undefined;
  }
}

function discard(file: string, stale: string): void {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
    // Somebody else's fresh claim, made after we read the stale one: put it back.
    if (read(aside) !== stale) linkSync(aside, file);
  } catch {
    // Another starter was faster; the next attempt sees what it left.
  } finally {
    rmSync(aside, { force: true });
  }
}

function release(file: string, own: string): void {
  if (read(file) === own) rmSync(file, { force: true });
}
