import { lchownSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createFile } from './createFile.ts';
import type { PostgresHome } from './postgresHome.ts';
import { reasonOf, StartError } from './startError.ts';

/** Who holds a claim, for the message to who is refused. */
interface Holder {
  pid: number;
  host: string;
}

/** SQLITE_BUSY: somebody else has the lock. */
const BUSY = 5;

/** Node closes a connection that is garbage, and the lock would go with it. */
const held = new Set<DatabaseSync>();

/**
 * Claims a database folder for this process, so that no second service starts PostgreSQL in it.
 *
 * The claim is a lock of the kernel on the file `service.lock`: it belongs to the file, by whatever
 * path, link or mount somebody comes to it and whatever processes they see, and it ends with this
 * process however that ends. PostgreSQL's own lock cannot do that: it looks for the pid in
 * postmaster.pid, which a second container on the same volume does not see. Node offers the lock
 * (fcntl) by way of SQLite only: an open write transaction on an empty file that stays empty.
 *
 * `service.pid` tells who holds it, and nothing is decided by it.
 * @returns the function that gives the claim up; safe to call twice
 * @throws StartError naming the data directory and, where it can be read, the holder
 */
export function claimDatabase(
  { folder, account }: Pick<PostgresHome, 'folder' | 'account'>,
  dataDir: string,
): () => void {
  const pidFile = path.join(folder, 'service.pid');
  const lock = lockFile(path.join(folder, 'service.lock'), account);
  if (lock === undefined) {
    throw new StartError(`the data directory ${dataDir} is in use by ${nameHolder(pidFile)}`);
  }
  held.add(lock);
  const release = () => {
    if (!held.delete(lock)) return;
    try {
      // While it is ours: the next holder writes its own.
      rmSync(pidFile, { force: true });
    } finally {
      lock.close();
    }
  };
  try {
    noteHolder(pidFile);
    return release;
  } catch (error) {
    held.delete(lock);
    lock.close();
    throw error;
  }
}

/** @returns undefined when another connection, here or in another process, has the lock */
function lockFile(file: string, account: PostgresHome['account']): DatabaseSync | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    // So that a service of the folder's owner can open what root has made.
    if (account) lchownSync(file, account.uid, account.gid);
    // No journal beside the file: nothing is written that it would have to undo.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE');
    return database;
  } catch (error) {
    database?.close();
    if ((error as { errcode?: number }).errcode === BUSY) return undefined;
    throw new StartError(`cannot lock ${file}: ${reasonOf(error)}`);
  }
}

function noteHolder(pidFile: string): void {
  try {
    rmSync(pidFile, { force: true });
  } catch (error) {
    throw new StartError(`cannot remove ${pidFile}: ${reasonOf(error)}`);
  }
  createFile(pidFile, JSON.stringify({ pid: process.pid, host: os.hostname() }));
}

function nameHolder(pidFile: string): string {
  const holder = readHolder(pidFile);
  if (holder === undefined) return 'another service';
  const where = holder.host === os.hostname() ? '' : ` on ${holder.host}`;
  return `the service with pid ${holder.pid}${where}`;
}

/** @returns undefined when another user's, or when the holder has only just begun */
function readHolder(pidFile: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(pidFile, 'utf8')) as Holder;
  } catch {
    return undefined;
  }
}
