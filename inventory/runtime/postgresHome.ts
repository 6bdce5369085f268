import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  findPostgresBinaries,
  makeSharedFolder,
  type PostgresBinaries,
  shareBinaries,
} from './postgresBinaries.ts';
import { reasonOf, StartError } from './startError.ts';

/** A user of the system, for spawn. */
export interface Account {
  uid: number;
  gid: number;
}

/** Where the database of one data directory lives, and who may run it. */
export interface PostgresHome {
  /** Folder of ours, owned by the account; holds the cluster in `data`. */
  folder: string;
  /** The user that runs PostgreSQL; undefined = ours. PostgreSQL refuses to run as root. */
  account: Account | undefined;
  binaries: PostgresBinaries;
}

/** Where root keeps what the database user cannot reach in the data directory or the checkout. */
export const SHARED_FOLDER = '/var/lib/onhand';

/** Users tried in this order as root; macOS prefixes its system users. */
const USERS = ['postgres', '_postgres', 'nobody'];

/** sun_path holds 104 bytes on macOS, 108 on Linux; the socket's own name takes 15 of them. */
const SOCKET_DIR_BYTES_MAX = 100 - '/.s.PGSQL.5432'.length;

/**
 * Decides where the database of a data directory lives, and makes the place.
 *
 * As an ordinary user everything is in place. As root, PostgreSQL runs as the owner of the folder,
 * for a new one `postgres` or else `nobody`. If that user cannot enter the data directory, the
 * folder is made under {@link SHARED_FOLDER} and linked to, so that a second start finds it; if it
 * cannot read the binaries, they are copied there. No permission of anybody else's folder changes.
 * @throws StartError
 */
export async function preparePostgresHome(dataDir: string): Promise<PostgresHome> {
  const binaries = await findPostgresBinaries();
  const link = path.join(dataDir, 'postgres');
  try {
    requireTarget(link);
    if (process.getuid?.() !== 0) return ownHome(link, binaries);
    return rootHome(link, binaries);
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`cannot make the database folder ${link}: ${reasonOf(error)}`);
  }
}

/** An empty database in place of one whose disk is not mounted would look like lost stock. */
function requireTarget(link: string): void {
  const isLink = lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink();
  if (!isLink || existsSync(link)) return;
  throw new StartError(`the database folder ${link} is a link that points nowhere`);
}

function ownHome(link: string, binaries: PostgresBinaries): PostgresHome {
  mkdirSync(link, { recursive: true, mode: 0o700 });
  return { folder: realpathSync(link), account: undefined, binaries };
}

function rootHome(link: string, binaries: PostgresBinaries): PostgresHome {
  const account = lstatSync(link, { throwIfNoEntry: false }) ? ownerOf(link) : findAccount();
  if (!existsSync(link)) makeFolder(link, account);
  const folder = realpathSync(link);
  if (!canEnter(account, folder)) {
    throw new StartError(
      `the user with uid ${account.uid}, who owns the database folder ${folder}, cannot enter it: ` +
        'a folder above it is closed; move the data directory or set ONHAND_DATA_DIR',
    );
  }
  if (canEnter(account, path.join(binaries.root, 'bin', 'postgres'))) {
    return { folder, account, binaries };
  }
  makeSharedFolder(SHARED_FOLDER);
  return { folder, account, binaries: shareBinaries(binaries, SHARED_FOLDER) };
}

/** An existing folder keeps its owner, so a service that once ran as that user still can. */
function ownerOf(link: string): Account {
  const { uid, gid } = statSync(link);
  if (uid !== 0) return { uid, gid };
  const account = findAccount();
  // Ours from a start that died between making the folder and giving it away.
  chownSync(link, account.uid, account.gid);
  return account;
}

function makeFolder(link: string, account: Account): void {
  if (canEnter(account, path.dirname(link))) {
    // Of two starts at once, one makes it.
    mkdirSync(link, { recursive: true, mode: 0o700 });
    chownSync(link, account.uid, account.gid);
    return;
  }
  makeSharedFolder(SHARED_FOLDER);
  const folder = mkdtempSync(path.join(SHARED_FOLDER, 'data-'));
  chownSync(folder, account.uid, account.gid);
  try {
    symlinkSync(folder, link);
  } catch (error) {
    rmSync(folder, { recursive: true });
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** @throws StartError when the system has none of {@link USERS} */
function findAccount(): Account {
  for (const user of USERS) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, user]).stdout?.toString());
    // `| 0` because macOS writes the uid of nobody, -2, as an unsigned number.
    if (uid && gid) return { uid: Number(uid) | 0, gid: Number(gid) | 0 };
  }
  throw new StartError(
    `PostgreSQL does not run as root, and there is no user ${USERS.join(', ')} to run it as`,
  );
}

/** Asks the system itself, as that user: modes alone would miss access lists and mount options. */
function canEnter(account: Account, file: string): boolean {
  const test = spawnSync('/bin/sh', ['-c', 'test -x "$1"', 'sh', file], {
    ...account,
    cwd: '/',
    stdio: 'ignore',
  });
  return test.status === 0;
}

/**
 * Makes a private folder for a socket: mode 0700, owned by the account, with a short path.
 *
 * Under the system's temporary folder, or /tmp when that is too deep or closed to the account.
 */
export function makeSocketDir(account: Account | undefined): string {
  for (const parent of [os.tmpdir(), '/tmp']) {
    if (account && !canEnter(account, parent)) continue;
    const dir = mkdtempSync(path.join(parent, 'onhand-'));
    if (Buffer.byteLength(dir) <= SOCKET_DIR_BYTES_MAX) {
      chmodSync(dir, 0o700);
      if (account) chownSync(dir, account.uid, account.gid);
      return dir;
    }
    rmSync(dir, { recursive: true });
  }
  throw new StartError('no temporary folder has a path short enough for a socket: set TMPDIR');
}
