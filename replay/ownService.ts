import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { startOptions } from '../fixtures/startOptions.ts';

/** A service that this run started. */
export interface OwnService {
  readonly url: string;
  readonly apiKey: string;
  readonly pid: number;
  readonly dataDir: string;
  /** Whether nothing but this run can have posted to its data. */
  readonly isFresh: boolean;
  /** Resolves with how and why when it ends without having been told to. */
  readonly failed: Promise<string>;
  /**
   * SIGTERM, then waits for the end.
   * @param removeData for a temporary folder: whether it goes as well
   */
  stop(removeData: boolean): Promise<void>;
}

const ROOT = path.resolve(import.meta.dirname, '..');

/** A first start makes a database, a later one may recover it. */
const readyMsMax = 120_000;
/** The service ends itself 10 s after SIGTERM, its database 10 s later. */
const stopMsMax = 30_000;
/** Of its standard output, from which the address and the key are read. */
const outputCharsMax = 4_000;
/** Of its standard error: a fatal error of Node comes with the native stack below it. */
const linesMax = 40;
const logLinesMax = 3;
const lineCharsMax = 1_000;

/**
 * Answers of this run must outlast it, or running it again after a pause would post twice: a year,
 * instead of the service's default of a day.
 */
const retentionHours = '8760';

/** Without a terminal in common, a run that is killed takes its service along by this. */
const LEASH = `data:text/javascript,${encodeURIComponent(
  "process.stdin.on('close', () => process.kill(process.pid, 'SIGTERM')).resume().unref();",
)}`;

/**
 * Starts the service on a free port, as `npm start` does, and waits until it listens.
 *
 * Data: ONHAND_DATA_DIR, else a fresh temporary folder. Every other setting is the service's own,
 * from the environment.
 * @throws with what it said on its standard error when it ends or stays silent instead
 */
export async function startOwnService(env: NodeJS.ProcessEnv): Promise<OwnService> {
  const isTemporary = !env.ONHAND_DATA_DIR?.trim();
  const dataDir = isTemporary ? makeDataDir() : path.resolve(env.ONHAND_DATA_DIR ?? '');
  const child = spawn(
    process.execPath,
    ['--import', LEASH, ...startOptions(), 'inventory/main.ts'],
    {
      cwd: ROOT,
      env: {
        ONHAND_IDEMPOTENCY_RETENTION_HOURS: retentionHours,
        LOG_LEVEL: 'warn',
        ...env,
        PORT: '0',
        ONHAND_DATA_DIR: dataDir,
      },
      // A group of its own: Ctrl-C is for this run, which stops the service when it is done with
      // it.
      detached: true,
    },
  );
  const reason = keepReason(child);
  const exited = new Promise<string>((resolve) =>
    child.once('close', (code, signal) => {
      const how = signal === null ? `code ${code}` : `signal ${signal}`;
      resolve(`ended with ${how}${reason()}`);
    }),
  );
  let stopping = false;
  const failed = exited.then((how) => (stopping ? new Promise<never>(() => {}) : how));
  const stop = async (removeData: boolean) => {
    stopping = true;
    await end(child, exited);
    if (isTemporary && removeData) removeDataDir(dataDir);
  };
  try {
    const { url, apiKey } = await listening(child, exited, reason, env);
    const isFresh = isTemporary && !env.DATABASE_URL;
    return { url, apiKey, pid: child.pid ?? 0, dataDir, isFresh, failed, stop };
  } catch (error) {
    await stop(true);
    throw error;
  }
}

/** PostgreSQL may run as another user, who only has to pass through. */
function makeDataDir(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'onhand-replay-'));
  chmodSync(folder, 0o711);
  return realpathSync(folder);
}

/** The database folder is a link where its user cannot enter the data directory. */
function removeDataDir(dataDir: string): void {
  const database = path.join(dataDir, 'postgres');
  // There is none with DATABASE_URL, nor before a start came that far.
  if (existsSync(database)) rmSync(realpathSync(database), { recursive: true, force: true });
  rmSync(dataDir, { recursive: true, force: true });
}

/**
 * Keeps the last of what a service says on its standard error, log lines only where there is
 * nothing else: an end brings many. Its standard output holds the key, and no reason.
 * @returns the lines behind a colon, or nothing
 */
function keepReason(child: ChildProcess): () => string {
  const said: string[] = [];
  const logged: string[] = [];
  createInterface({ input: child.stderr as Readable }).on('line', (line) => {
    const [lines, max] = line.startsWith('{') ? [logged, logLinesMax] : [said, linesMax];
    lines.push(line.slice(0, lineCharsMax));
    if (lines.length > max) lines.shift();
  });
  return () => {
    const lines = said.length > 0 ? said : logged;
    return lines.length === 0 ? '' : `: ${lines.join('\n').trim()}`;
  };
}

async function end(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const giveUp = new AbortController();
  const late = setTimeout(stopMsMax, 'late', { signal: giveUp.signal });
  late.catch(() => {});
  if ((await Promise.race([exited, late])) === 'late') child.kill('SIGKILL');
  giveUp.abort();
  await exited;
}

async function listening(
  child: ChildProcess,
  exited: Promise<string>,
  reason: () => string,
  env: NodeJS.ProcessEnv,
): Promise<{ url: string; apiKey: string }> {
  const giveUp = new AbortController();
  const ready = new Promise<{ url: string; apiKey: string }>((resolve) => {
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-outputCharsMax);
      const url = /listening on (http\S+)\s/.exec(output)?.[1];
      const shown = /API key\s+(\S+) .*\(admin/.exec(output)?.[1];
      const apiKey = env.ONHAND_API_KEY?.trim() || shown;
      if (url !== undefined && apiKey !== undefined) resolve({ url, apiKey });
    });
  });
  const fail = (why: string) => {
    throw new Error(`the service ${why}`);
  };
  const late = setTimeout(readyMsMax, undefined, { signal: giveUp.signal });
  try {
    return await Promise.race([
      ready,
      exited.then(fail),
      late.then(() => fail(`did not listen within ${readyMsMax / 1_000} s${reason()}`)),
    ]);
  } finally {
    giveUp.abort();
  }
}
