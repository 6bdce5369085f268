import { chmodSync, existsSync, mkdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { claimDatabase } from './databaseClaim.ts';
import type { Guarded } from './guardian.ts';
import { awaitOrphan } from './orphanedPostgres.ts';
import { ensureCluster, openPostgresLog } from './postgresCluster.ts';
import { type PostgresHome, preparePostgresHome } from './postgresHome.ts';
import { startServer } from './postgresServer.ts';
import { reasonOf, StartError } from './startError.ts';
import { temporaryFolder } from './temporaryFolder.ts';

export interface EmbeddedPostgresOptions {
  /** Folder of the service's data; made when missing. The cluster is in its `postgres/data`. */
  dataDir: string;
  /** Takes one line about what takes time. */
  log: (line: string) => void;
  /** Sessions it must serve at once. Default 100, which is also the least. */
  connectionsMax?: number;
  /** More server settings, over ours. */
  settings?: Record<string, string>;
}

export interface EmbeddedPostgres {
  /** For `pg` and libpq: database and superuser `onhand`, over a unix socket. */
  url: string;
  /** The real path. */
  dataDir: string;
  /** Resolves with a line that says so when PostgreSQL ends without having been told to. */
  failed: Promise<string>;
  /** Fast shutdown, then gives up the database folder. Waits; safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Starts the PostgreSQL that comes with the service, on its data directory.
 *
 * It listens on a unix socket in a folder that only its user can enter, and on no port. It ends
 * with this process however that ends (guardian.ts), and recovers from what it did not survive.
 * Durability is PostgreSQL's default: fsync and synchronous commit are on.
 * @throws StartError with one line: in use, unwritable, full disk, other major version, …
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new StartError('the embedded PostgreSQL does not run on Windows: set DATABASE_URL');
  }
  // For its socket, before there is a data directory to leave behind.
  temporaryFolder();
  const dataDir = makeDataDir(options.dataDir);
  const home = await preparePostgresHome(dataDir);
  const release = claimDatabase(home, dataDir);
  try {
    return await startClaimed({ ...options, dataDir, home }, release);
  } catch (error) {
    release();
    if (error instanceof StartError) throw error;
    throw new StartError(`PostgreSQL did not start in ${dataDir}: ${reasonOf(error)}`);
  }
}

/**
 * For root it is open to pass through, since PostgreSQL runs as another user; for others closed.
 */
function makeDataDir(dataDir: string): string {
  try {
    if (!existsSync(dataDir)) {
      const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
      mkdirSync(path.dirname(dataDir), { recursive: true });
      mkdirSync(dataDir, { mode });
      // A strict umask has taken bits away.
      chmodSync(dataDir, mode);
    }
    return realpathSync(dataDir);
  } catch (error) {
    throw new StartError(`cannot make the data directory ${dataDir}: ${reasonOf(error)}`);
  }
}

async function startClaimed(
  options: EmbeddedPostgresOptions & { home: PostgresHome },
  release: () => void,
): Promise<EmbeddedPostgres> {
  const { dataDir, home } = options;
  const log = openPostgresLog(dataDir);
  try {
    await awaitOrphan(home.folder, options.log);
    const cluster = await ensureCluster(home, log);
    const { server, url } = await startServer({ ...options, cluster, log });
    return { url, dataDir, ...lifeOf(server, log.file, release) };
  } finally {
    log.close();
  }
}

function lifeOf(server: Guarded, logFile: string, release: () => void) {
  let stopping = false;
  const failed = new Promise<string>((resolve) => {
    void server.exited.then((how) => {
      release();
      if (!stopping) resolve(`PostgreSQL ended by itself (${how}); its log is ${logFile}`);
    });
  });
  const stop = async () => {
    stopping = true;
    await server.stop();
  };
  return { failed, stop };
}
