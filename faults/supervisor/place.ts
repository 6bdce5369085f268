import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Account, preparePostgresHome } from '../../inventory/runtime/postgresHome.ts';
import type { Undertaker } from './undertaker.ts';

/** Where a run keeps its servers, and as whom PostgreSQL runs. */
export interface Place {
  readonly folder: string;
  /** Folder of PostgreSQL, owned by `account`. */
  readonly postgres: string;
  readonly account: Account | undefined;
  /** `bin/` of the embedded PostgreSQL. */
  readonly bin: string;
}

export async function makePlace(undertaker: Undertaker): Promise<Place> {
  const folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'onhand-faults-')));
  undertaker.folder(folder);
  chmodSync(folder, 0o711);
  const home = await preparePostgresHome(folder);
  // Under a closed temporary folder the home lies elsewhere.
  if (!home.folder.startsWith(folder)) undertaker.folder(home.folder);
  const { account, binaries } = home;
  return { folder, postgres: home.folder, account, bin: path.join(binaries.root, 'bin') };
}

/** A folder for PostgreSQL, mode 0700. */
export function makePostgresFolder({ postgres, account }: Place, name: string): string {
  const folder = path.join(postgres, name);
  mkdirSync(folder, { mode: 0o700 });
  if (account) chownSync(folder, account.uid, account.gid);
  return folder;
}

/** A file that PostgreSQL may read and remove; replaces one of that name. */
export function writePostgresFile({ account }: Place, file: string, content: string): void {
  writeFileSync(file, content, { mode: 0o600 });
  if (account) chownSync(file, account.uid, account.gid);
}

/** Bytes of the small disk under each PostgreSQL: a cluster of a run takes about a third of it. */
const diskBytes = 384 * 1024 * 1024;

/**
 * Puts a small disk of its own (tmpfs) under a folder, so that it can be filled.
 * @returns undefined when done, else why not
 */
export function mountSmallDisk(
  folder: string,
  { account }: Place,
  undertaker: Undertaker,
): string | undefined {
  if (process.platform !== 'linux') return 'needs tmpfs, which is Linux';
  if (process.getuid?.() !== 0) return 'needs root to mount a small disk';
  const owner = account ? `,uid=${account.uid},gid=${account.gid}` : '';
  const options = `size=${diskBytes},mode=700${owner}`;
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]);
  if (mounted.status !== 0) return `mount was refused: ${mounted.stderr.toString().trim()}`;
  undertaker.mount(folder);
  return undefined;
}

/** Runs a command to its end. @throws with its output unless it exits with 0 */
export async function run(
  command: string,
  args: readonly string[],
  account?: Account | undefined,
): Promise<void> {
  const child = spawn(command, args, {
    ...account,
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  }
  const code = await new Promise((resolve, reject) => {
    child.once('close', resolve).once('error', reject);
  });
  if (code === 0) return;
  throw new Error(`${path.basename(command)} failed: ${Buffer.concat(chunks).toString()}`);
}
