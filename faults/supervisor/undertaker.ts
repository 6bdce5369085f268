import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Ends what a run started, also when the run itself is killed.
 *
 * A small process beside us holds the list. When our end of its pipe closes, whoever closed it, it
 * kills the processes, unmounts and removes the folders, newest first.
 */
export class Undertaker {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor() {
    const args = ['--input-type=module', '--eval', SCRIPT];
    this.#child = spawn(process.execPath, args, {
      // A session of its own: Ctrl-C is for us, and it must outlive us.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    this.#child.unref();
    this.#child.stdin?.on('error', () => {});
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  /** A process that must not outlive the run; forgotten as soon as it ended. */
  process(child: ChildProcess): void {
    const { pid } = child;
    if (pid === undefined) return;
    this.#tell('process', String(pid));
    child.once('exit', () => this.#tell('ended', String(pid)));
  }

  mount(path: string): void {
    this.#tell('mount', path);
  }

  folder(path: string): void {
    this.#tell('folder', path);
  }

  /** Ends everything now. */
  async bury(): Promise<void> {
    this.#child.ref();
    this.#child.stdin?.end();
    await this.#ended;
  }

  #tell(what: string, value: string): void {
    this.#child.stdin?.write(`${JSON.stringify([what, value])}\n`);
  }
}

// A folder of PostgreSQL is busy until its last backend has noticed the end of the server:
// unmounting and removing are tried for 10 s, then the mount is detached.
const SCRIPT = `
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
const processes = new Set(), mounts = [], folders = [];
for await (const line of createInterface({ input: process.stdin })) {
  const [what, value] = JSON.parse(line);
  if (what === 'process') processes.add(Number(value));
  if (what === 'ended') processes.delete(Number(value));
  if (what === 'mount') mounts.push(value);
  if (what === 'folder') folders.push(value);
}
for (const pid of processes) try { process.kill(pid, 'SIGKILL'); } catch {}
for (const mount of mounts.reverse()) {
  for (let tries = 0; tries < 50; tries++) {
    const flags = tries === 49 ? ['-l'] : [];
    if (spawnSync('umount', [...flags, mount], { stdio: 'ignore' }).status === 0) break;
    await setTimeout(200);
  }
}
for (const folder of folders.reverse()) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 50, retryDelay: 200 });
}
`;
