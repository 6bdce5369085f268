import { spawn } from 'node:child_process';
import {
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import type { PostgresHome } from './postgresHome.ts';
import { StartError } from './startError.ts';

/** Bytes of log after which a start begins a new one; the one before is kept as `.1`. */
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/** Start of the name of a cluster that initdb is making, or was when its service died. */
const DRAFT = 'initdb-';

/** The log of PostgreSQL and initdb in the data directory. */
export interface PostgresLog {
  file: string;
  fd: number;
  /** What this start wrote, at most its last 64 KiB. */
  tail(): string;
  close(): void;
}

export function openPostgresLog(dataDir: string): PostgresLog {
  const file = path.join(dataDir, 'postgres.log');
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES_MAX) renameSync(file, `${file}.1`);
  const fd = openSync(file, 'a', 0o600);
  const start = fstatSync(fd).size;
  return {
    file,
    fd,
    tail: () => readFileSync(file).subarray(start).subarray(-65_536).toString(),
    close: () => closeSync(fd),
  };
}

/** The one line of a log that says why: the first fatal one, else the last. */
export function reasonInLog(tail: string): string {
  const lines = tail.split('\n').filter((line) => line.trim() !== '');
  const fatal = lines.find((line) => /\b(FATAL|PANIC|error):/.test(line));
  const line = fatal ?? lines.at(-1) ?? 'it wrote no reason';
  return line.replace(/^.*?\b(FATAL|PANIC|initdb: error):\s*/, '');
}

/**
 * Makes the cluster when there is none.
 *
 * initdb works in a folder beside it that gets its name only when it is whole: a start that dies
 * during initdb leaves nothing that looks like a database.
 * @throws StartError with initdb's reason, or when the cluster is of another major version
 */
export async function ensureCluster(home: PostgresHome, log: PostgresLog): Promise<string> {
  const cluster = path.join(home.folder, 'data');
  if (existsSync(cluster)) {
    requireMajor(cluster, home.binaries.major);
    return cluster;
  }
  for (const name of readdirSync(home.folder).filter((entry) => entry.startsWith(DRAFT))) {
    rmSync(path.join(home.folder, name), { recursive: true, force: true });
  }
  const draft = mkdtempSync(path.join(home.folder, DRAFT));
  try {
    if (home.account) chownSync(draft, home.account.uid, home.account.gid);
    await initdb(home, draft, log);
    renameSync(draft, cluster);
    return cluster;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function requireMajor(cluster: string, major: string): void {
  const found = readFileSync(path.join(cluster, 'PG_VERSION'), 'utf8').trim();
  if (found === major) return;
  throw new StartError(
    `the database in ${cluster} is of PostgreSQL ${found}, this service brings ${major}: ` +
      'move the data with pg_upgrade or pg_dump, or set DATABASE_URL',
  );
}

async function initdb(home: PostgresHome, pgdata: string, log: PostgresLog): Promise<void> {
  const args = [
    `--pgdata=${pgdata}`,
    '--username=onhand',
    // Only the owner can enter the folder of the socket, and there is no other way in.
    '--auth-local=trust',
    '--auth-host=reject',
    '--encoding=UTF8',
    // Byte order, the same on every system and release: an index never depends on a libc.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
  ];
  const child = spawn(path.join(home.binaries.root, 'bin', 'initdb'), args, {
    ...home.account,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', log.fd, log.fd],
  });
  const code = await new Promise((resolve, reject) =>
    child.once('exit', resolve).once('error', reject),
  );
  if (code === 0) return;
  throw new StartError(`initdb failed: ${reasonInLog(log.tail())} (see ${log.file})`);
}
