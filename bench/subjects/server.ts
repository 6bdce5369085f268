import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { LEASH } from '../../fixtures/leash.ts';

/** A Node server in a process of its own. */
export interface Server {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly pid: number;
  /** SIGTERM, then waits for the end. */
  stop(): Promise<void>;
}

/** A first start migrates a database, on two shared cores. */
const readyMsMax = 60_000;
/** Longer than the service's own bound on a stop. */
const stopMsMax = 15_000;
const outputCharsMax = 4_000;

/**
 * Runs a file that prints `listening on <url>` when it does, with this environment and no other.
 * @param options for Node
 * @throws with what it wrote when it ends or stays silent instead
 */
export async function startServer(
  file: string,
  env: Record<string, string>,
  options: readonly string[] = [],
): Promise<Server> {
  const child = spawn(process.execPath, [...LEASH, ...options, file], {
    env: { NODE_ENV: 'production', ...env },
  });
  const exited = new Promise<'exited'>((resolve) => child.once('close', () => resolve('exited')));
  const output = keepOutput(child);
  const stop = async () => {
    child.kill('SIGTERM');
    const patience = new AbortController();
    const late = setTimeout(stopMsMax, 'late', { signal: patience.signal }).catch(() => 'late');
    if ((await Promise.race([exited, late])) === 'late') child.kill('SIGKILL');
    patience.abort();
    await exited;
  };
  const url = await Promise.race([listening(child, output), exited, lateAfter(exited)]);
  if (url === 'exited' || url === 'late') {
    await stop();
    throw new Error(`${file} does not listen:\n${output()}`);
  }
  return { url, pid: child.pid ?? 0, stop };
}

function keepOutput(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-outputCharsMax);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => text;
}

function listening(child: ChildProcess, output: () => string): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.on('data', () => {
      const url = /listening on (http:\S+)\s/.exec(output())?.[1];
      if (url !== undefined) resolve(url);
    });
  });
}

function lateAfter(exited: Promise<unknown>): Promise<'late'> {
  return new Promise((resolve) => {
    const timer = globalThis.setTimeout(() => resolve('late'), readyMsMax);
    timer.unref();
    void exited.then(() => clearTimeout(timer));
  });
}
